"Build script: all metadata comes from settings.ini, the version from hrda_nb/__init__.py."

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
config = ConfigParser()
config.read(root / "settings.ini", encoding="utf-8")
config = config["DEFAULT"]


def read(name):
    return (root / name).read_text(encoding="utf-8")


folders = {  # what rides in the wheel: the bundled pictures, the tables of hrda ablate
    "hrda_nb.data_samples": "data_samples",
    "hrda_nb.tables": "benchmarks/tables",
}
if (root / "page/dist").is_dir():  # the site of hrda page, where npm has built it
    folders["hrda_nb.page_site"] = "page/dist"

setup(
    name=config["lib_name"],
    version=re.search(r'^__version__ = "(.+)"', read("hrda_nb/__init__.py"), re.MULTILINE)[1],
    description=config["description"],
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    author=config["author"],
    license_expression=config["license"],
    keywords=config["keywords"].split(),
    classifiers=[
        "Programming Language :: Python :: 3",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    python_requires=">=" + config["min_python"],
    install_requires=config["requirements"].split(),
    extras_require={
        k.removesuffix("_requirements"): v.split()
        for k, v in config.items()
        if k.endswith("_requirements")
    },
    entry_points={
        "console_scripts": config["console_scripts"].split(),
        "nbdev": ["hrda_nb=hrda_nb._modidx:d"],
    },
    packages=[*find_packages(include=["hrda_nb", "hrda_nb.*"]), *folders],
    package_dir=folders,
    include_package_data=True,
    zip_safe=False,
)
