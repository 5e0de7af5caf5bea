// Sliders, choices, switches and buttons of a scene; they stay in place while values change.
import { css } from "./charts.js";
import { el } from "./dom.js";

/** @typedef {import("./scenes/common.js").Control} Control */
/** @typedef {import("./scenes/common.js").Context} Context */

export class Controls {
  /** @param {HTMLElement} root @param {(patch: any, event?: Event) => void} set */
  constructor(root, set) {
    this.root = root;
    this.set = set;
    this.signature = "";
    /** @type {Map<string, any>} */
    this.made = new Map();
  }

  /** @param {Control[]} wanted @param {Context} c */
  show(wanted, c) {
    const parts = wanted.map(({ kind, key, label, max, options, classes }) => [
      kind,
      key,
      label,
      max,
      options,
      classes,
    ]);
    const signature = JSON.stringify([c.state.scene, parts, c.palette]);
    if (signature !== this.signature) this.build(wanted, c);
    this.signature = signature;
    for (const one of wanted) this.value(one, c);
  }

  /** @param {Control[]} wanted @param {Context} c */
  build(wanted, c) {
    this.made.clear();
    this.root.replaceChildren(...wanted.map((one) => this.make(one, c)));
  }

  /** @param {Control} one @param {Context} c @returns {HTMLElement} */
  make(one, c) {
    const minor = one.main ? "" : "minor";
    if (one.kind === "button") {
      const made = el(
        "button",
        { type: "button", class: minor, onclick: () => this.made.get(one.key).press() },
        one.label,
      );
      this.made.set(one.key, { press: one.press });
      return made;
    }
    if (one.kind === "classes") return this.classes(one, c);
    if (one.kind === "slider") return this.slider(one, minor);
    if (one.kind === "switch") {
      const box = el("input", {
        type: "checkbox",
        onchange: () => this.set({ [one.key]: Number(box.checked) }),
      });
      this.made.set(one.key, { box });
      return el("label", { class: minor }, box, one.label);
    }
    const options = (one.options ?? []).map(([value, label]) => el("option", { value }, label));
    const number = typeof one.options?.[0][0] === "number";
    const select = el(
      "select",
      {
        onchange: () => this.set({ [one.key]: number ? Number(select.value) : select.value }),
      },
      ...options,
    );
    this.made.set(one.key, { select });
    return el("label", { class: minor }, one.label, select);
  }

  /** @param {Control} one @param {string} minor */
  slider(one, minor) {
    const { min, max, step, key } = one;
    const input = el("input", {
      type: "range",
      min,
      max,
      step,
      "data-key": key,
      oninput: (/** @type {Event} */ e) => this.set({ [key]: Number(input.value) }, e),
    });
    const output = el("output");
    this.made.set(key, { input, output });
    return el("label", { class: minor }, one.label, input, output);
  }

  /** Chips to paste or leave. @param {Control} one @param {Context} c */
  classes(one, c) {
    const buttons = new Map();
    for (const k of one.classes ?? []) {
      const chip = el("span", { class: "chip", style: `background:${css(c.palette[k])}` });
      const press = () => {
        const chosen = new Set(this.made.get(one.key).chosen);
        if (!chosen.delete(k)) chosen.add(k);
        this.set({ [one.key]: [...chosen].join(".") || "." });
      };
      buttons.set(k, el("button", { type: "button", onclick: press }, chip, c.names[k]));
    }
    this.made.set(one.key, { buttons, chosen: one.chosen });
    return el("fieldset", { class: "minor" }, el("legend", {}, one.label), ...buttons.values());
  }

  /** @param {Control} one @param {Context} c */
  value(one, c) {
    const made = this.made.get(one.key);
    const value = /** @type {any} */ (c.state)[one.key];
    if (one.kind === "button") made.press = one.press;
    if (made.box) made.box.checked = Boolean(value);
    if (made.select) {
      made.select.value = String(value);
      if (!made.select.value) made.select.selectedIndex = 0;
    }
    if (made.buttons) {
      made.chosen = one.chosen;
      for (const [k, b] of made.buttons)
        b.setAttribute("aria-pressed", String(Boolean(one.chosen?.includes(k))));
    }
    if (!made.input) return;
    const shown = one.value ?? value;
    made.input.value = String(shown);
    const text = one.show?.(shown) ?? String(shown);
    made.output.textContent = text;
    made.input.setAttribute("aria-valuetext", text);
  }
}
