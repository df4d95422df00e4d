// An image's way through a network: boxes to scale above, shares of parameters and work below.
({Figure, el, svg, row, bar, button, choose, fmt, slider}) => class extends Figure {
  static css = `.art{margin:.7em 0 .2em}
    svg{width:100%;height:auto;overflow:visible}
    .map{fill:color-mix(in srgb,var(--pos) 38%,transparent);stroke:var(--line)}
    .flat{fill:color-mix(in srgb,var(--neg) 45%,transparent);stroke:var(--line)}
    .img{fill:none;stroke:currentColor;stroke-opacity:.6;stroke-dasharray:3 2}
    .hit{fill:transparent;cursor:pointer}
    .now{stroke:var(--mark);stroke-width:3}
    .rest{fill:color-mix(in srgb,currentColor 9%,transparent);stroke:var(--line);stroke-width:.6}
    .gone{fill:color-mix(in srgb,currentColor 26%,transparent)}
    .part.now{fill:var(--mark);stroke-width:2}
    .share{display:grid;grid-template-columns:7.5em 1fr 6.2em;gap:.25em .7em;align-items:center;font-size:.9em;font-variant-numeric:tabular-nums}
    .share svg{height:1.25em;display:block}.share b{text-align:right}
    @container (max-width:30em){.share{grid-template-columns:1fr auto;grid-auto-flow:dense}.share svg{grid-column:1/3}.share .k{margin-top:.3em}}
    .key{gap:.2em 1.1em;font-size:.86em;color:var(--quiet)}
    .key svg{width:1em;height:1em;margin-right:.35em;display:inline-block;vertical-align:-.12em}
    .live p{margin:.2em 0}.steps{gap:.4em}`;
  build({networks, show}) {
    this.nets = networks;
    this.hint.textContent = "boxes: height for pixels, width for channels";
    const names = networks.map(n => n.name);
    this.art = el("div", {class: "art"});
    this.bars = el("div", {class: "share"});
    this.pos = slider("layer", {min: 1, max: 2, value: 1}, v => { this.stop(); this.go(v - 1); });
    const which = choose("network", names, v => { this.stop(); this.load(names.indexOf(v)); }, show);
    const c = (kind, text) => el("span", {}, svg("svg", {viewBox: "0 0 10 10", "aria-hidden": "true"},
      svg("rect", {x: 1, y: 1, width: 8, height: 8, class: kind})), text);
    this.box.append(row(which, el("span", {class: "row steps"}, ...this.player(d => this.go(this.timer && this.i === this.last ? 0 : this.i + d), 1100)),
      this.pos), this.art, row(c("img", "input"), c("map", "maps"), c("flat", "numbers in a row"), c("map now", "layer shown")), this.bars, this.live);
    this.box.querySelectorAll(".row")[2].classList.add("key");
    this.load(names.indexOf(show));
  }
  load(n) {
    this.net = this.nets[n];
    this.last = this.net.layers.length - 1;
    this.sum = {p: 0, m: 0};
    for (const l of this.net.layers) { this.sum.p += l.p; this.sum.m += l.m; }
    this.pos.limit(1, this.last + 1);
    this.i = 0;
    this.go(0);
  }
  go(i) {
    this.i = Math.max(0, Math.min(this.last, i));
    this.pos.set(this.i + 1);
    if (this.shadowRoot) this.draw();
  }
  // Height as the square root of the side: 7 pixels are still seen beside 224.
  boxes() {
    const side = ([c, h]) => h === undefined ? 30 : 9 * Math.sqrt(h);
    const wide = ([c, h]) => h === undefined ? 9 : 4 + 3.2 * Math.log2(c);
    let x = 0;
    return [this.net.input, ...this.net.layers.map(l => l.s)].map(s => {
      const w = wide(s), b = {x, w, h: side(s), flat: s.length === 1};
      x += w + 5;
      return b;
    });
  }
  draw() {
    const {net, i} = this, l = net.layers[i], B = this.boxes();
    const top = Math.max(...B.map(b => b.h)), end = B.at(-1).x + B.at(-1).w;
    const by = s => s.join("×"), n = v => v.toLocaleString("en-US");
    const parts = B.map((b, j) => svg("rect", {x: b.x, y: (top - b.h) / 2 + 2, width: b.w, height: b.h, rx: 1.5,
      class: (j === 0 ? "img" : b.flat ? "flat" : "map") + (j === i + 1 ? " now" : "")}));
    const hits = B.slice(1).map((b, j) => svg("rect", {x: b.x - 2.5, y: 0, width: b.w + 5, height: top + 4, class: "hit",
      onclick: () => { this.stop(); this.go(j); }}));
    this.art.replaceChildren(svg("svg", {viewBox: `-2 0 ${end + 4} ${top + 4}`, role: "img", style: `max-width:${end * 1.6}px`,
      "aria-label": `${net.name}: ${net.layers.length} layers from ${by(net.input)} to ${by(net.layers[this.last].s)}; layer ${i + 1} is marked`}, ...parts, ...hits));

    const percent = (v, all) => !v ? "0 %" : v / all < 1e-4 ? "under 0.01 %" : `${fmt(100 * v / all, 2)} %`;
    const line = (key, text) => {
      let x = 0;
      const cells = net.layers.map((k, j) => {
        const w = this.sum[key] ? 400 * k[key] / this.sum[key] : 0;
        const r = svg("rect", {x, y: 1, width: w, height: 18, class: `rest part${j < i ? " gone" : ""}`});
        x += w;
        return r;
      });
      // Drawn once more, on top, so that a layer without much of a share is seen all the same.
      const at = cells[i], w = Math.max(2, +at.getAttribute("width"));
      const mark = svg("rect", {x: Math.min(398, +at.getAttribute("x")), y: 1, width: w, height: 18, class: "part now"});
      const share = percent(l[key], this.sum[key]);
      return [el("span", {class: "k"}, text), svg("svg", {viewBox: "0 0 400 20", preserveAspectRatio: "none", role: "img",
        "aria-label": `${text}: this layer has ${share} of all`}, ...cells, mark), el("b", {}, share)];
    };
    this.bars.replaceChildren(...line("p", "parameters"), ...line("m", "multiplications"));

    const before = i ? net.layers[i - 1].s : net.input, numbers = l.s.reduce((a, b) => a * b);
    const so = key => percent(net.layers.slice(0, i + 1).reduce((t, k) => t + k[key], 0), this.sum[key]);
    this.output = {layer: l.n, shape: l.s, p: l.p, m: l.m};
    this.say(el("p", {}, `${i + 1} of ${this.last + 1}: `, el("b", {}, l.n), ` (${l.k}), ${by(before)} → `, el("b", {}, by(l.s)), ` = ${n(numbers)} numbers.`),
      el("p", {}, l.p || l.m ? `${n(l.p)} parameters of ${n(this.sum.p)}; ${n(l.m)} multiply-accumulates of ${n(this.sum.m)}.` : "Nothing is learned here and nothing multiplied."),
      el("p", {class: "note"}, `Up to here ${so("p")} of the parameters and ${so("m")} of the multiply-accumulates.`));
  }
}
