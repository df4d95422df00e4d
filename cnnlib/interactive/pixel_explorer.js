// A photograph, a window on it, and the numbers of the pixels in the window.
({Figure, el, row, bar, grid, radios, slider}) => class extends Figure {
  static css = `
    .photo{flex:1 1 16em;max-width:26em;position:relative}
    canvas{width:100%;height:auto;image-rendering:pixelated;border-radius:.2em;cursor:crosshair}
    .frame{position:absolute;border:2px solid #fff;outline:1.5px solid #000;pointer-events:none}
    td.px{cursor:pointer;height:auto;padding:.2em 0;line-height:1.2;font-size:.86em;transition:none}
    td.px span{display:block}
    td.px.sel{box-shadow:inset 0 0 0 2px #000,inset 0 0 0 4px #fff}
    .sliders{display:grid;gap:.1em;width:100%;max-width:30em}`;
  build({photo, rows, columns, size, at}) {
    this.bytes = Uint8Array.from(atob(photo), c => c.charCodeAt(0));
    Object.assign(this, {rows, columns, size, r: at[0], c: at[1], show: -1});
    this.canvas = el("canvas", {width: columns, height: rows, role: "img",
      "aria-label": `The photograph, ${rows} rows and ${columns} columns of pixels`});
    const follow = e => {
      const b = this.canvas.getBoundingClientRect();
      this.go((e.clientY - b.top) / b.height * rows, (e.clientX - b.left) / b.width * columns);
    };
    this.canvas.addEventListener("pointerdown", follow);
    this.canvas.addEventListener("pointermove", follow);
    this.frame = el("div", {class: "frame"});
    this.cells = grid(size, size, "");
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
      const td = this.cells.at(i, j);
      td.className = "px";
      td.addEventListener("click", () => this.go(this.top + i, this.left + j));
    }
    this.down = slider("row", {min: 0, max: rows - 1, value: this.r}, v => this.go(v, this.c));
    this.across = slider("column", {min: 0, max: columns - 1, value: this.c}, v => this.go(this.r, v));
    const choice = radios("show", {all: "all three", red: "red", green: "green", blue: "blue"}, "all", v => {
      this.show = ["red", "green", "blue"].indexOf(v);
      this.paint();
      this.draw();
    });
    this.box.append(row(el("div", {class: "photo"}, this.canvas, this.frame), this.cells),
      bar(el("div", {class: "sliders"}, this.down, this.across), choice), this.live);
    this.paint();
  }
  pixel(i, j) {
    const at = 3 * (i * this.columns + j);
    return this.bytes.subarray(at, at + 3);
  }
  // What is shown of a pixel: its colour, or one channel as a grey.
  colour(p) { return this.show < 0 ? [...p] : Array(3).fill(p[this.show]); }
  paint() {
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(this.columns, this.rows);
    for (let i = 0; i < this.rows; i++) for (let j = 0; j < this.columns; j++) {
      image.data.set([...this.colour(this.pixel(i, j)), 255], 4 * (i * this.columns + j));
    }
    context.putImageData(image, 0, 0);
  }
  go(i, j) {
    const inside = (v, n) => Math.max(0, Math.min(n - 1, Math.floor(v)));
    const [r, c] = [inside(i, this.rows), inside(j, this.columns)];
    if (r === this.r && c === this.c) return;
    [this.r, this.c] = [r, c];
    this.down.set(r);
    this.across.set(c);
    this.draw();
  }
  draw() {
    const {size, rows, columns, r, c} = this;
    const start = (v, n) => Math.max(0, Math.min(n - size, v - (size >> 1)));
    this.top = start(r, rows);
    this.left = start(c, columns);
    const percent = (v, n) => `${100 * v / n}%`;
    Object.assign(this.frame.style, {top: percent(this.top, rows), left: percent(this.left, columns),
      width: percent(size, columns), height: percent(size, rows)});
    this.cells.caption.textContent =
      `rows ${this.top} to ${this.top + size - 1}, columns ${this.left} to ${this.left + size - 1}`;
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
      const td = this.cells.at(i, j), p = this.pixel(this.top + i, this.left + j), shown = this.colour(p);
      const light = shown.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      // Black or white, whichever differs more from the pixel.
      const dark = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] > 0.179;
      td.style.background = `rgb(${shown.join(" ")})`;
      td.style.color = dark ? "#000" : "#fff";
      td.classList.toggle("sel", this.top + i === r && this.left + j === c);
      const numbers = this.show < 0 ? [...p] : [p[this.show]];
      td.replaceChildren(...numbers.map(v => el("span", {}, String(v))));
    }
    const p = this.pixel(r, c), mean = ((p[0] + p[1] + p[2]) / 3).toFixed(1);
    this.say(el("b", {}, `photo[${r}, ${c}] = (${[...p].join(", ")})`),
      `: red ${p[0]}, green ${p[1]}, blue ${p[2]}. Mean of the three: ${mean}.`);
  }
}
