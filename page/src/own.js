// A picture of the visitor's own: from a file, dropped, or from the camera. It never leaves the page.
import { el } from "./dom.js";
import { pixels } from "./files.js";
import { fitted } from "./picture.js";

const LONGEST = 2048; // pixels: larger pictures are shrunk

/**
 * @typedef {{t: (name: string, values?: any) => string, page: any,
 *   take: (name: string, picture: ImageData, both: boolean,
 *     progress: (part: number) => void) => Promise<void>,
 *   ready: (both: boolean) => Promise<string>}} Host
 */

export class Own {
  /** @param {HTMLDialogElement} dialog @param {Host} host */
  constructor(dialog, host) {
    this.dialog = dialog;
    this.host = host;
    /** @type {MediaStream | null} */
    this.stream = null;
    this.busy = false;
    dialog.addEventListener("close", () => this.release());
    for (const kind of ["dragover", "drop"])
      document.addEventListener(kind, (e) => this.dropped(/** @type {DragEvent} */ (e)));
  }

  /** @param {DragEvent} event */
  dropped(event) {
    const { dataTransfer: carried } = event;
    if (!carried?.types.includes("Files")) return;
    event.preventDefault();
    if (event.type !== "drop" || !carried.files[0]) return;
    this.open();
    void this.read(carried.files[0]);
  }

  open() {
    if (!this.dialog.open) {
      this.build();
      this.dialog.showModal();
      void this.prepare();
    }
  }

  build() {
    const { t, page } = this.host;
    this.file = el("input", {
      type: "file",
      accept: "image/*",
      id: "own-file",
      onchange: () => this.file.files[0] && this.read(this.file.files[0]),
    });
    const sizes = [...new Set([page.longest, 1024, LONGEST])].sort((a, b) => a - b);
    this.size = el(
      "select",
      {},
      ...sizes.map((s) => el("option", { value: s }, t("pixels", { n: s }))),
    );
    this.size.value = page.longest;
    const other = page.networks.b;
    this.both = other && el("input", { type: "checkbox" });
    this.bar = el("progress", { max: 1, value: 0, "aria-label": t("own.progress") });
    this.said = el("p", { role: "status" });
    this.place = el("div");
    this.dialog.replaceChildren(
      el("h2", { id: "own-title" }, t("own.title")),
      el("p", {}, t("own.private")),
      el("p", { class: "drop" }, el("label", { for: "own-file" }, t("own.drop")), " ", this.file),
      el(
        "div",
        { class: "row" },
        el("button", { type: "button", onclick: () => this.camera() }, t("own.camera")),
        el("label", {}, t("own.size"), " ", this.size),
        other
          ? el(
              "label",
              {},
              this.both,
              " ",
              t("own.both", {
                name: other.name,
                size: (other.bytes / 1e6).toFixed(0),
              }),
            )
          : null,
      ),
      this.place,
      this.bar,
      this.said,
      el(
        "div",
        { class: "row" },
        el("button", { type: "button", onclick: () => this.dialog.close() }, t("close")),
      ),
    );
  }

  /** The network comes before the picture: afterwards nothing is asked for any more. */
  async prepare() {
    const { t } = this.host;
    this.say(t("own.loading"));
    this.bar.removeAttribute("value");
    try {
      const engine = await this.host.ready(false);
      this.bar.value = 0;
      if (!this.busy) this.say(t("own.ready", { engine }));
    } catch (error) {
      this.bar.value = 0;
      this.say(t("own.failed", { reason: String(/** @type {any} */ (error).message) }));
    }
  }

  /** @param {string} text */
  say(text) {
    this.said.textContent = text;
  }

  /** @param {Blob & {name?: string}} file */
  async read(file) {
    const { t } = this.host;
    const longest = Math.min(Number(this.size.value), LONGEST);
    let picture;
    try {
      picture = await pixels(file, (h, w) => fitted(h, w, longest));
    } catch {
      return this.say(t("own.unreadable", { name: file.name ?? "" }));
    }
    if (Math.min(picture.height, picture.width) < 32)
      return this.say(t("own.small", { name: file.name ?? "" }));
    await this.compute(file.name ?? t("own.camera"), picture);
  }

  /** @param {string} name @param {ImageData} picture */
  async compute(name, picture) {
    const { t } = this.host;
    if (this.busy) return;
    this.busy = true;
    const begun = performance.now();
    this.say(t("own.computing"));
    this.dialog.dataset.state = "busy";
    try {
      await this.host.take(name, picture, Boolean(this.both?.checked), (part) => {
        this.bar.value = part;
        const left = ((performance.now() - begun) / 1000) * (1 / Math.max(part, 0.01) - 1);
        this.say(t("own.left", { n: Math.ceil(left) }));
      });
      this.dialog.dataset.seconds = ((performance.now() - begun) / 1000).toFixed(2);
      this.dialog.close();
    } catch (error) {
      this.say(t("own.failed", { reason: String(/** @type {any} */ (error).message) }));
    } finally {
      this.busy = false;
      this.dialog.dataset.state = "done";
    }
  }

  async camera() {
    const { t } = this.host;
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 1280 } },
      });
    } catch {
      return this.say(t("own.noCamera"));
    }
    const video = el("video", { autoplay: true, playsinline: true, muted: true });
    video.srcObject = this.stream;
    const shoot = async () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      /** @type {any} */ (canvas.getContext("2d")).drawImage(video, 0, 0);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
      this.release();
      await this.read(Object.assign(/** @type {Blob} */ (blob), { name: t("own.camera") }));
    };
    this.place.replaceChildren(
      video,
      el("button", { type: "button", onclick: shoot }, t("own.shoot")),
    );
  }

  release() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.place?.replaceChildren();
  }
}
