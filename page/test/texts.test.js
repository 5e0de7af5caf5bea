// Every language has every text, and every text that the scenes ask for exists.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const folder = new URL("../texts/", import.meta.url);
const texts = Object.fromEntries(
  readdirSync(folder).map((f) => [
    f.slice(0, 2),
    JSON.parse(readFileSync(new URL(f, folder), "utf8")),
  ]),
);

const flat = (words, start = "") =>
  Object.entries(words).flatMap(([k, v]) =>
    typeof v === "string" ? [[start + k, v]] : flat(v, `${start}${k}.`),
  );
const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();

const english = Object.fromEntries(flat(texts.en));

for (const [language, words] of Object.entries(texts))
  test(`${language} is complete, with the same places for numbers`, () => {
    const found = Object.fromEntries(flat(words));
    assert.deepEqual(Object.keys(found).sort(), Object.keys(english).sort());
    for (const [name, text] of Object.entries(found)) {
      assert.ok(text.trim(), name);
      assert.deepEqual(places(text), places(english[name]), name);
    }
  });

test("every text that is asked for exists, and none is left over", () => {
  const sources = [
    "app.js",
    "own.js",
    ...readdirSync(new URL("../src/scenes/", import.meta.url)).map((f) => `scenes/${f}`),
  ];
  const code = sources
    .map((f) => readFileSync(new URL(`../src/${f}`, import.meta.url), "utf8"))
    .join("\n");
  const html = readFileSync(new URL("../index.html", import.meta.url), "utf8");
  const asked = [...code.matchAll(/\bt\("([\w.]+)"/g)].map((x) => x[1]);
  const literals = new Set([...code.matchAll(/"([\w.]+)"/g)].map((x) => x[1]));
  const named = [...html.matchAll(/data-t="([\w.]+)"/g)].map((x) => x[1]);
  for (const name of [...asked, ...named]) assert.ok(name in english, name);
  const generated = /^(street|key)\.|\.(title|sentence|question|answer)$|^(fused|context|detail)$/;
  for (const name of Object.keys(english))
    assert.ok(
      literals.has(name) || named.includes(name) || generated.test(name),
      `${name} is not used`,
    );
});
