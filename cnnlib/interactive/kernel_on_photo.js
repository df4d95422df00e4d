// A kernel on a photograph: photo and response as canvases, the window under the cursor as numbers.
({Figure, el, row, bar, op, fmt, grid, put, edit, arrows, choose, radios, worked, windowAt, corr, dot}) =>
class extends Figure {
  static css = `.panes{display:grid;grid-template-columns:1fr 1fr;gap:.5em .9em;align-items:end;margin-bottom:.8em}
    .pane{position:relative;border:1px solid var(--line);cursor:crosshair;touch-action:pan-y}
    .pane canvas{width:100%;height:auto;image-rendering:pixelated}
    .cap{font-size:.86em;color:var(--quiet);margin:0 0 .25em}
    .at{position:absolute;pointer-events:none;outline:2px solid #fff;box-shadow:0 0 0 4px #b3124d}
    @container (max-width:30em){.panes{gap:.4em}.cap{font-size:.8em}}`;
  build({w, h, alt, kernels}) {
    const names = Object.keys(kernels), raw = atob(this.querySelector("img").src.split(",")[1]);
    const wide = w + 3 & ~3;
    // Pixels follow the header and the palette of the bitmap, rows filled up to four bytes.
    this.x = Array.from({length: h}, (_, i) => Array.from({length: w}, (_, j) => raw.charCodeAt(1078 + i * wide + j)));
    Object.assign(this, {w, h, name: names[0], i: (h >> 1) - 1, j: (w >> 1) - 1, k: kernels[names[0]].map(r => [...r])});
    this.hint.textContent = "move over a picture, tap it, or use the arrow keys";

    const pane = (caption, props) => {
      const canvas = el("canvas", {width: w, height: h, ...props});
      const at = el("span", {class: "at", style: `width:${300 / w}%;height:${300 / h}%`});
      const frame = el("div", {class: "pane"}, canvas, at);
      const move = e => {
        const b = canvas.getBoundingClientRect();
        this.go(Math.floor((e.clientY - b.top) / b.height * h) - 1, Math.floor((e.clientX - b.left) / b.width * w) - 1, false);
      };
      frame.addEventListener("pointermove", move);
      frame.addEventListener("pointerdown", move);
      return {canvas, at, caption, node: el("div", {}, caption, frame)};
    };
    this.photo = pane(el("p", {class: "cap"}, `Photo, ${h} × ${w} pixels`), {role: "img", "aria-label": `${alt}, in grey`});
    this.resp = pane(el("p", {class: "cap"}), {role: "application", tabindex: 0, "aria-roledescription": "map of sums",
      onkeydown: e => {
        const to = arrows(e, this.i, this.j, h - 2, w - 2);
        if (to) this.go(...to, true);
      }});
    this.paint(this.photo.canvas, (put, i, j) => put(this.x[i][j], this.x[i][j], this.x[i][j], 255));

    this.tw = grid(3, 3, "Pixels in the window");
    this.tk = edit("Kernel, editable", this.k, "kernel", () => {
      this.name = this.menu.field.value = "your own";
      this.filter();
    });
    this.menu = choose("kernel", [...names, "your own"], name => {
      (kernels[name] || this.k).forEach((r, u) => r.forEach((v, c) => { this.k[u][c] = v; }));
      this.name = name;
      this.tk.sync();
      this.look();
      this.filter();
    });
    this.shown = radios("show as", {signed: "blue +, orange −", grey: "grey, cut to 0…255"}, "signed", v => {
      this.show = v;
      this.filter();
    });
    this.look();
    this.box.append(el("div", {class: "panes"}, this.photo.node, this.resp.node),
      row(this.tw, op("∗"), this.tk, this.live), bar(this.menu, this.shown));
    this.filter();
  }
  // Blurs keep the brightness and are best seen in grey; edge detectors add up to zero.
  look() {
    this.show = this.k.flat().reduce((a, b) => a + b, 0) > 0.5 ? "grey" : "signed";
    this.shown.set(this.show);
  }
  paint(canvas, colour) {
    const ctx = canvas.getContext("2d"), data = ctx.createImageData(this.w, this.h), a = data.data;
    for (let i = 0; i < this.h; i++) for (let j = 0; j < this.w; j++) {
      colour((...rgba) => a.set(rgba, 4 * (i * this.w + j)), i, j);
    }
    ctx.putImageData(data, 0, 0);
  }
  filter() {
    const O = this.output = corr(this.x, this.k), all = O.flat().sort((a, b) => a - b), n = all.length;
    const most = all.map(Math.abs).sort((a, b) => a - b)[Math.floor(0.99 * (n - 1))] || 1;
    this.range = [all[0], all[n - 1]];
    this.paint(this.resp.canvas, (put, i, j) => {
      const v = O[i - 1]?.[j - 1];
      if (v === undefined) return;
      // Zero is transparent, so it takes the colour of the page, light or dark.
      if (this.show === "grey") put(v, v, v, 255);
      else put(...(v < 0 ? [224, 123, 22] : [47, 127, 214]), 255 * Math.min(1, Math.abs(v) / most));
    });
    this.resp.caption.textContent = this.show === "grey" ? "Response, cut to 0…255"
      : `Response, full colour at ±${fmt(most, 0)}`;
    if (this.shadowRoot) this.draw();
  }
  go(i, j, key) {
    this.i = Math.max(0, Math.min(this.h - 3, i));
    this.j = Math.max(0, Math.min(this.w - 3, j));
    this.live.setAttribute("aria-live", key ? "polite" : "off");
    this.draw();
  }
  draw() {
    const {i, j, w, h} = this, X = windowAt(this.x, i, j, 3, 3);
    for (const {at} of [this.photo, this.resp]) Object.assign(at.style, {left: `${100 * j / w}%`, top: `${100 * i / h}%`});
    put(this.tw, X, {max: 255});
    this.resp.canvas.setAttribute("aria-label", `Response to the kernel ${this.name}: sums from ${fmt(this.range[0])} to ` +
      `${fmt(this.range[1])}. Window at row ${i + 1}, column ${j + 1}. Arrow keys move it, with Shift by ten.`);
    this.say(el("span", {class: "t"}, `row ${i + 1}, column ${j + 1}: `), worked(X, this.k), el("b", {}, `= ${fmt(dot(X, this.k))}`));
  }
}
