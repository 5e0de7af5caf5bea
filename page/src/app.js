// The frame around the scenes: what is chosen, drawn, saved, presented.
import { css } from "./charts.js";
import { Controls } from "./controls.js";
import { Said, Streets } from "./data.js";
import { byId, el } from "./dom.js";
import { json } from "./files.js";
import { Networks } from "./network.js";
import { Own } from "./own.js";
import { saveGif, savePng } from "./save.js";
import { scenes as all } from "./scenes/index.js";
import { Stage } from "./stage.js";
import { START, read, written } from "./state.js";
import { LANGUAGES, Texts, language } from "./texts.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./scenes/common.js").Context} Context */

class App {
  constructor() {
    this.state = read(location.hash);
    this.networks = new Networks();
    this.memory = new Map();
    /** @type {Stage[]} */
    this.stages = [];
    this.controls = new Controls(byId("controls"), (patch, event) => this.set(patch, event));
    this.drawing = false;
    this.again = false;
    this.asked = 0;
    /** @type {number[]} milliseconds from a control to the picture */
    this.times = [];
  }

  async begin() {
    const [page, english] = await Promise.all([json("page.json"), json("texts/en.json")]);
    this.page = page;
    this.english = english;
    this.streets = new Streets(page.pictures);
    this.scenes = all.filter((s) => s.fits?.(page) ?? true);
    this.own = new Own(byId("own"), {
      t: (name, values) => this.t(name, values),
      page,
      take: (...args) => this.take(...args),
      ready: () => this.ready(),
    });
    await this.speak(language(this.state.lang));
    this.dress();
    addEventListener("hashchange", () => this.arrive());
    addEventListener("keydown", (e) => this.press(e));
    byId("reveal").addEventListener("click", () => this.set({ reveal: 1 - this.state.reveal }));
    byId("blank").addEventListener("click", () => (byId("blank").hidden = true));
    await this.draw();
  }

  /** @param {string} name @param {any} [values] */
  t(name, values) {
    return /** @type {Texts} */ (this.texts).say(name, values);
  }

  /** @param {string} lang */
  async speak(lang) {
    this.lang = lang;
    this.texts = await Texts.load(lang, this.english);
    document.documentElement.lang = lang;
    document.title = this.t("title");
    for (const node of document.querySelectorAll("[data-t]"))
      node.textContent = this.t(/** @type {HTMLElement} */ (node).dataset.t ?? "");
    this.frame();
  }

  /** Light or dark, as chosen or as the system says. */
  dress() {
    const { dark } = this.state;
    const system = matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = (dark < 0 ? system : dark) ? "dark" : "light";
  }

  get scene() {
    const { scenes = all, state } = this;
    return scenes.find((s) => s.id === state.scene) ?? scenes[0];
  }

  /** @param {Partial<State>} patch @param {Event} [event] */
  set(patch, event) {
    Object.assign(this.state, patch);
    history.replaceState(null, "", written(this.state));
    if (event) this.asked = event.timeStamp;
    void this.draw();
  }

  /** Another scene begins as it is meant to. @param {string} id */
  go(id) {
    const { picture, source, lang, safe, dark } = this.state;
    this.state = { ...START, picture, source, lang, safe, dark, scene: id };
    history.pushState(null, "", written(this.state));
    byId("main").focus({ preventScroll: true });
    void this.draw();
  }

  async arrive() {
    this.state = read(location.hash);
    this.dress();
    const lang = language(this.state.lang);
    if (lang !== this.lang) await this.speak(lang);
    void this.draw();
  }

  /** @param {number} by */
  step(by) {
    const { scenes = all } = this;
    const at = scenes.indexOf(this.scene) + by;
    if (at >= 0 && at < scenes.length) this.go(scenes[at].id);
  }

  /** What a scene draws from. @returns {Promise<Context>} */
  async context() {
    const { page, state, memory } = this;
    const streets = /** @type {Streets} */ (this.streets);
    const targets = page.pictures.filter((/** @type {any} */ p) => p.domain === "target");
    const first = targets[0] ?? page.pictures[0];
    const sources = streets.of("source");
    const chosen = state.picture || first.name;
    const [street, source] = await Promise.all([
      streets.open(this.scene.street?.(page, chosen) ?? chosen),
      this.scene.source && sources.length ? streets.open(state.source || sources[0].name) : null,
    ]);
    const palette = page.classes.map((/** @type {any} */ k) => (state.safe ? k.safe : k.colour));
    const names = page.classes.map((/** @type {any} */ k) => k.name);
    return {
      state,
      page,
      street,
      source,
      palette,
      names,
      memory,
      t: (name, values) => this.t(name, values),
      ask: (picture) => this.ask(picture),
      set: (patch) => this.set(patch),
      redraw: () => void this.draw(),
    };
  }

  /** One drawing after the other; what is asked for meanwhile comes next, once. */
  async draw() {
    if (this.drawing) {
      this.again = true;
      return;
    }
    this.drawing = true;
    const asked = this.asked;
    this.asked = 0;
    try {
      await this.drawOnce();
    } catch (error) {
      this.status(
        this.t("failed", { reason: String(/** @type {any} */ (error).message ?? error) }),
      );
      console.warn(error);
    }
    if (asked) this.times.push(performance.now() - asked);
    this.drawing = false;
    if (!this.again) return;
    this.again = false;
    await this.draw();
  }

  async drawOnce() {
    const stages = byId("stages");
    const busy = setTimeout(() => stages.setAttribute("aria-busy", "true"), 150);
    try {
      const c = await this.context();
      const { scene } = this;
      this.frameScene(c);
      this.controls.show(scene.controls(c), c);
      this.show(await scene.draw(c), c);
      document.body.dataset.scene = scene.id;
      this.status("");
    } finally {
      clearTimeout(busy);
      stages.removeAttribute("aria-busy");
    }
  }

  /** @param {import("./scenes/common.js").Drawing} drawing @param {Context} c */
  show({ panels, words = "", chart, legend = [] }, c) {
    while (this.stages.length < panels.length) this.addStage();
    for (const spare of this.stages.splice(panels.length)) spare.root.remove();
    panels.forEach((panel, i) => this.stages[i].show(panel));
    const isWide = panels[0].image.width > 3 * panels[0].image.height;
    byId("main").dataset.panels = isWide ? "wide" : String(panels.length);
    byId("words").textContent = words;
    byId("chart").replaceChildren(...(chart ? [chart] : []));
    const items = [...legend].map((k) =>
      el(
        "li",
        {},
        el("span", { class: "chip", style: `background:${css(c.palette[k])}` }),
        c.names[k],
      ),
    );
    byId("legend").replaceChildren(...items);
    this.command.textContent = this.commandLine(c.street);
  }

  addStage() {
    const stage = new Stage(async (kind, y, x, more) => {
      const patch = this.scene.hear?.(await this.context(), y, x, more);
      if (patch) this.set(patch);
    });
    this.stages.push(stage);
    byId("stages").append(stage.root);
  }

  /** Title, sentence, question. @param {Context} c */
  frameScene({ state, street }) {
    const { scene, scenes = all } = this;
    const number = scenes.indexOf(scene) + 1;
    byId("heading").textContent = `${number} ${this.t(`${scene.id}.title`)}`;
    byId("sentence").textContent = this.t(`${scene.id}.sentence`);
    byId("question").textContent = this.t(`${scene.id}.question`);
    byId("reveal").textContent = this.t(state.reveal ? "hide" : "reveal");
    byId("reveal").setAttribute("aria-expanded", String(Boolean(state.reveal)));
    byId("answer").textContent = state.reveal ? this.t(`${scene.id}.answer`) : "";
    for (const [i, button] of [...byId("scenes").children].entries()) {
      if (i !== number - 1) button.removeAttribute("aria-current");
      else if (!button.hasAttribute("aria-current")) {
        button.setAttribute("aria-current", "step");
        byId("scenes").scrollLeft = button.offsetLeft - byId("scenes").clientWidth / 2;
      }
    }
    this.pictures(street.name);
  }

  /** Everything that depends on the language alone. */
  frame() {
    const { scenes = all } = this;
    byId("scenes").setAttribute("aria-label", this.t("scenes"));
    byId("controls").setAttribute("aria-label", this.t("controls"));
    byId("scenes").replaceChildren(
      ...scenes.map((s, i) =>
        el(
          "button",
          { type: "button", onclick: () => this.go(s.id) },
          `${i + 1} ${this.t(`${s.id}.title`)}`,
        ),
      ),
    );
    this.tools();
    this.footer();
    this.help();
  }

  tools() {
    const button = (/** @type {string} */ text, /** @type {() => void} */ press, pressed = null) =>
      el("button", { type: "button", onclick: press, "aria-pressed": pressed }, text);
    this.choice = el("select", { id: "picture", onchange: () => this.choose(this.choice.value) });
    const speak = el(
      "select",
      {
        "aria-label": this.t("language"),
        onchange: async () => {
          await this.speak(speak.value);
          this.set({ lang: speak.value });
        },
      },
      ...Object.entries(LANGUAGES).map(([value, name]) => el("option", { value }, name)),
    );
    speak.value = this.lang;
    this.safe = button(this.t("safe"), () => this.set({ safe: 1 - this.state.safe }));
    byId("tools").replaceChildren(
      el("label", {}, this.t("picture"), " ", this.choice),
      button(this.t("own.title"), () => this.own?.open()),
      this.safe,
      button(this.t("dark"), () => {
        const now = document.documentElement.dataset.theme === "dark";
        this.set({ dark: now ? 0 : 1 });
        this.dress();
      }),
      button(this.t("present"), () => this.present()),
      button(this.t("keys"), () => byId("help").showModal()),
      speak,
    );
  }

  /** The choice of pictures, one's own last. @param {string} shown */
  pictures(shown) {
    const entries = /** @type {Streets} */ (this.streets).entries;
    const { state } = this;
    const count = { source: 0, target: 0, own: 0 };
    const options = entries.map(({ name, domain }) => {
      count[domain]++;
      const text = domain === "own" ? name : this.t(`street.${domain}`, { n: count[domain] });
      return el("option", { value: name }, text);
    });
    this.choice.replaceChildren(...options);
    this.choice.value = shown;
    this.safe.setAttribute("aria-pressed", String(Boolean(state.safe)));
  }

  /** @param {string} name */
  choose(name) {
    this.set({ picture: name, k: "" });
  }

  footer() {
    const button = (/** @type {string} */ text, /** @type {() => void} */ press) =>
      el("button", { type: "button", onclick: press }, text);
    this.command = el("code", { hidden: true });
    byId("footer").replaceChildren(
      button(this.t("copy"), () => this.copy()),
      button(this.t("png"), () => savePng(this.canvases(), this.fileName())),
      button(this.t("gif"), () => this.gif()),
      button(this.t("command"), () => {
        this.command.hidden = !this.command.hidden;
      }),
      this.command,
      el("span", {}, this.t("made", { version: this.page.made.version })),
      ...(this.lang === "en" ? [] : [el("span", {}, this.t("proof"))]),
    );
  }

  help() {
    const keys = ["n", "b", "r", "p", ".", "Esc"];
    byId("help").replaceChildren(
      el("h2", { id: "help-title" }, this.t("keys")),
      el(
        "dl",
        {},
        ...keys.flatMap((k) => [
          el("dt", {}, el("kbd", {}, k)),
          el("dd", {}, this.t(`key.${k === "." ? "blank" : k}`)),
        ]),
      ),
      el("p", {}, this.t("key.canvas")),
      el("button", { type: "button", onclick: () => byId("help").close() }, this.t("close")),
    );
  }

  canvases() {
    return this.stages.map((s) => /** @type {HTMLCanvasElement} */ (s.canvas));
  }

  fileName() {
    return `hrda_${this.scene.id}_${this.state.picture || "street"}`.replace(/[^\w.-]+/g, "_");
  }

  /** What makes this picture on a command line. @param {import("./data.js").Street} street */
  commandLine({ entry }) {
    const { predict, page } = this.page.commands;
    if (this.scene.id === "training") return page;
    const file = entry.path ?? entry.name;
    const isPlain = /^[\w./-]+$/.test(file);
    return predict.replace("PICTURE", () =>
      isPlain ? file : `'${file.replaceAll("'", "'\\''")}'`,
    );
  }

  async copy() {
    const link = location.href;
    try {
      await navigator.clipboard.writeText(link);
      this.status(this.t("copied"));
    } catch {
      this.status(link);
    }
    setTimeout(() => this.status(""), 4000);
  }

  /** The main slider goes its way once; what was chosen before comes back. */
  async gif() {
    const c = await this.context();
    const main = this.scene.controls(c).find((k) => k.kind === "slider" && k.main);
    if (!main) return savePng(this.canvases(), this.fileName());
    const { key, min = 0, max = 1, step = 0.01 } = main;
    const before = /** @type {any} */ (this.state)[key];
    this.status(this.t("gifBusy"));
    const frames = Math.min(24, Math.round((max - min) / step) + 1);
    const show = async (/** @type {number} */ part) => {
      const value = min + Math.round(((max - min) * part) / step) * step;
      Object.assign(this.state, { [key]: value });
      await this.drawOnce();
    };
    await saveGif(() => this.canvases(), show, this.fileName(), frames);
    this.set({ [key]: before });
  }

  /** @param {string} text */
  status(text) {
    byId("status").textContent = text;
  }

  async ready() {
    await this.networks.load(this.page.networks.a.graph);
    return this.networks.engine === "webgpu" ? "WebGPU" : "WebAssembly";
  }

  /** @param {string} name @param {ImageData} picture @param {(part: number) => void} progress */
  async said(name, picture, progress) {
    const found = await this.networks.segment(this.page.networks[name], picture, progress);
    return new Said(found.maps, picture.height, picture.width, found.filled);
  }

  /** What the first network says about a picture that a scene made. @param {ImageData} picture */
  async ask(picture) {
    this.status(this.t("own.computing"));
    return this.said("a", picture, (part) =>
      this.status(this.t("computed", { part: Math.round(100 * part) })),
    );
  }

  /** @param {string} name @param {ImageData} picture @param {boolean} both
   * @param {(part: number) => void} progress */
  async take(name, picture, both, progress) {
    const parts = both ? 2 : 1;
    const said = { a: await this.said("a", picture, (p) => progress(p / parts)) };
    if (both)
      Object.assign(said, { b: await this.said("b", picture, (p) => progress((1 + p) / parts)) });
    const streets = /** @type {Streets} */ (this.streets);
    const used = new Set(this.page.pictures.map((/** @type {any} */ p) => p.name));
    const unique = used.has(name) ? `${name}'` : name;
    for (const key of this.memory.keys()) if (key.includes(unique)) this.memory.delete(key);
    streets.add(unique, picture, said);
    const fixed = this.scene.street || ["rare", "training"].includes(this.scene.id);
    const scene = fixed || (this.scene.id === "gap" && !both) ? "attention" : this.state.scene;
    this.set({ picture: unique, scene, k: "" });
  }

  present(on = !document.body.classList.contains("presenting")) {
    document.body.classList.toggle("presenting", on);
    if (on) void document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) void document.exitFullscreen();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const at = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || at.closest("dialog")) return;
    const typing = at.matches("select, input:not([type=range]):not([type=checkbox])");
    if (typing) return;
    const presenting = document.body.classList.contains("presenting");
    /** @type {Record<string, () => void>} */
    const keys = {
      n: () => this.step(1),
      b: () => this.step(-1),
      r: () => this.set({ reveal: 1 - this.state.reveal }),
      p: () => this.present(),
      ".": () => (byId("blank").hidden = !byId("blank").hidden),
    };
    if (presenting)
      Object.assign(keys, {
        PageDown: keys.n,
        PageUp: keys.b,
        Escape: () => this.present(false),
      });
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}

const app = new App();
/** @type {any} */ (window).hrda = app;
app.begin().then(
  () => (document.body.dataset.ready = "1"),
  (error) => {
    byId("status").textContent =
      location.protocol === "file:"
        ? "A page from a file cannot read its pictures: serve the folder, python -m http.server"
        : String(error.message ?? error);
  },
);
