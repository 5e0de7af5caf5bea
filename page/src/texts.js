// Words, in the reader's language; English where a translation lacks one.
import { json } from "./files.js";

export const LANGUAGES = { en: "English", zh: "中文", ko: "한국어" };

export class Texts {
  /** @param {any} words @param {any} english */
  constructor(words, english) {
    this.words = words;
    this.english = english;
  }

  /** @param {string} language @param {any} english @returns {Promise<Texts>} */
  static async load(language, english) {
    if (language === "en") return new Texts(english, english);
    return new Texts(await json(`texts/${language}.json`), english);
  }

  /**
   * The text of a name such as "gap.title", with numbers and names put in.
   * @param {string} name @param {Record<string, string | number>} [values]
   */
  say(name, values = {}) {
    const found = look(this.words, name) ?? look(this.english, name) ?? name;
    return String(found).replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
  }
}

/** @param {any} words @param {string} name */
function look(words, name) {
  return name.split(".").reduce((at, part) => at?.[part], words);
}

/** The reader's language, if the page has it. @param {string} asked */
export function language(asked) {
  const known = Object.keys(LANGUAGES);
  const wanted = [asked, ...navigator.languages.map((l) => l.slice(0, 2))];
  return wanted.find((l) => known.includes(l)) ?? "en";
}
