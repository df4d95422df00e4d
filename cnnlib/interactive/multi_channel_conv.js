// Several channels: each window times its slice of the filter, the sums per channel, bias and total.
({Figure, el, op, fmt, grid, put, edit, pick, choose, padded, windowAt, dot, zeros, size}) =>
class extends Figure {
  static css = `.two{display:flex;flex-wrap:wrap;gap:1em 2.2em;align-items:flex-start}
    .two>div{max-width:100%}
    .ch{flex-wrap:nowrap;gap:.6em;margin-bottom:.7em}
    .ch table{--base:2.35em;--w:(100cqw - 9.5em)/var(--all)}
    @container (max-width:36em){.ch td.in[data-w]{padding-bottom:0}.ch td.in[data-w]::after{content:none}}
    .ch.big{flex-wrap:wrap}.ch.big table{--w:(100cqw - 2.6em)/var(--n)}
    .part{min-width:3.4em;font-weight:650;white-space:nowrap}
    .live{margin:0}
    .adds{display:grid;grid-template-columns:max-content max-content;gap:.1em 1em;margin:.5em 0 0}
    .adds>:nth-child(even){text-align:right}
    .adds .end{border-top:1px solid currentColor;font-weight:700}`;
  build({x, w, b, s, p}) {
    const C = x.length, H = x[0].length, W = x[0][0].length, [kh, kw] = [w[0][0].length, w[0][0][0].length];
    Object.assign(this, {x: x.map(c => padded(c, p)), w, b, s, o: 0, i: 0, j: 0, kh, kw});
    this.k = w[0].map(c => c.map(r => [...r]));
    this.hint.textContent = "choose a filter, move over its output";
    this.all = W + 2 * p + kw;
    const [oh, ow] = [size(H, kh, s, p), size(W, kw, s, p)];
    this.parts = x.map((_, c) => {
      const tx = grid(H + 2 * p, W + 2 * p, `Input channel ${c}`);
      put(tx, this.x[c]);
      this.x[c].forEach((r, u) => r.forEach((_, v) => tx.at(u, v).classList.toggle("pad", u < p || v < p || u >= H + p || v >= W + p)));
      const tk = edit("", this.k[c], `filter, channel ${c}`, (u, v) => {
        w[this.o][c][u][v] = this.k[c][u][v];
        this.draw();
      });
      const sum = el("span", {class: "part"});
      return {tx, tk, sum, node: el("div", {class: `row ch${this.all > 8 ? " big" : ""}`, style: `--all:${this.all}`}, tx, op("∗"), tk, sum)};
    });
    this.to = pick(grid(oh, ow, ""), "output, arrow keys move the window", (i, j, how) => {
      Object.assign(this, {i, j});
      this.live.setAttribute("aria-live", how === "hover" ? "off" : "polite");
      this.draw();
      if (how === "key") this.to.select(i, j, true);
    });
    this.menu = choose("output channel", w.map((_, o) => String(o)), o => {
      this.o = +o;
      w[o].forEach((m, c) => m.forEach((r, u) => r.forEach((v, q) => { this.k[c][u][q] = v; })));
      this.parts.forEach(t => t.tk.sync());
      this.draw();
    }, "0");
    this.box.append(el("div", {class: "two"}, el("div", {}, ...this.parts.map(t => t.node)),
      el("div", {}, el("div", {class: "row", style: "margin-bottom:.7em"}, this.menu), el("div", {class: "row"}, this.to, this.live))));
    this.note = `A filter has ${C} slices, one for each input channel: ${C} · ${kh} · ${kw} = ${C * kh * kw} weights` +
      (b ? " and one bias." : ".");
    this.box.append(el("p", {class: "note"}, this.note));
  }
  at(i, j) { return this.k.map((k, c) => dot(windowAt(this.x[c], i, j, this.kh, this.kw, this.s), k)); }
  draw() {
    const {i, j, o, s, b, to, parts} = this, bias = b ? b[o] : 0;
    const [oh, ow] = [to.tBodies[0].rows.length, to.tBodies[0].rows[0].cells.length];
    this.output = zeros(oh, ow).map((r, u) => r.map((_, v) => this.at(u, v).reduce((a, t) => a + t, 0) + bias));
    put(to, this.output);
    to.caption.textContent = `Output channel ${o}: ${oh} × ${ow}`;
    to.select(i, j);
    const sums = this.at(i, j);
    parts.forEach(({tx, tk, sum}, c) => {
      tx.querySelectorAll(".in").forEach(t => { t.classList.remove("in"); t.removeAttribute("data-w"); });
      for (let u = 0; u < this.kh; u++) for (let v = 0; v < this.kw; v++) {
        const t = tx.at(i * s + u, j * s + v);
        t.classList.add("in");
        t.dataset.w = fmt(this.k[c][u][v]);
      }
      tk.caption.textContent = `Filter ${o}, slice ${c}`;
      sum.textContent = `= ${fmt(sums[c])}`;
    });
    const lines = [...sums.map((v, c) => [`channel ${c}`, fmt(v)]), ...(b ? [["bias", fmt(bias)]] : [])];
    this.say(el("div", {}, `out[${o}, ${i}, ${j}]`), el("div", {class: "adds"},
      ...lines.flatMap(([name, v], n) => [el("span", {}, `${n ? "+ " : ""}${name} `), el("span", {}, v + " ")]),
      el("span", {class: "end"}, "total "), el("span", {class: "end"}, fmt(this.output[i][j]))));
  }
}
