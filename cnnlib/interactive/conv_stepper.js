// The convolution stepper: input, editable kernel, output, and the sum behind the chosen cell.
({Figure, el, row, bar, button, op, fmt, grid, put, edit, pick, choose, radios, check, worked,
  padded, windowAt, corr, largest}) => class extends Figure {
  static css = ".ask{min-height:2.1em}.verdict{font-weight:600}.verdict.good{color:var(--good)}";
  build({x, k, s, p, d, kernels}) {
    const H = x.length, W = x[0].length;
    Object.assign(this, {k: k.map(r => [...r]), s, d, i: 0, j: 0, flip: false, asking: false, open: new Set()});
    this.x = padded(x, p);
    const out = corr(this.x, this.k, s, d);
    const [oh, ow] = [out.length, out[0].length];
    const set = [p && `padding ${p}`, s > 1 && `stride ${s}`, d > 1 && `dilation ${d}`].filter(Boolean).join(", ");
    this.hint.textContent = "tap the output, or use the arrow keys on it";

    this.tx = grid(H + 2 * p, W + 2 * p, `Input ${H} × ${W}${set && ", " + set}`);
    put(this.tx, this.x);
    this.x.forEach((r, a) => r.forEach((_, b) => this.tx.at(a, b).classList.toggle("pad",
      a < p || b < p || a >= H + p || b >= W + p)));
    const changed = () => {
      this.open.clear();
      this.draw();
    };
    this.tk = edit(`Kernel ${k.length} × ${k[0].length}, editable`, this.k, "kernel", () => {
      if (this.menu) this.menu.field.value = "your own";
      changed();
    });
    this.tf = grid(k.length, k[0].length, "Turned by 180°");
    this.to = pick(grid(oh, ow, `Output ${oh} × ${ow}`), "output, arrow keys move the window", (i, j, how) => {
      if (how === "hover" && (this.asking || this.timer)) return;
      if (how !== "hover") this.stop();
      this.go(i, j, how);
    });

    const step = n => {
      const t = (this.i * ow + this.j + n + oh * ow) % (oh * ow);
      this.go(Math.floor(t / ow), t % ow);
    };
    const controls = bar(...this.player(step));
    if (kernels) {
      const all = {"as given": k, ...kernels, "your own": null};
      this.menu = choose("kernel", Object.keys(all), name => {
        (all[name] || this.k).forEach((r, u) => r.forEach((v, w) => { this.k[u][w] = v; }));
        this.tk.sync();
        changed();
      });
      controls.append(this.menu);
    }
    controls.append(check("predict first", on => {
      this.asking = on;
      if (on) this.stop();
      changed();
    }));

    this.guess = el("input", {type: "number", step: "any", class: "num", "aria-label": "your prediction of this output cell",
      onkeydown: e => e.key === "Enter" && this.judge()});
    this.ask = el("div", {class: "row bar ask"}, el("span", {"aria-hidden": "true"}, "Your prediction"), this.guess,
      button("Check", () => this.judge(), {class: "main"}), button("Reveal", () => this.reveal()),
      button("Reveal all", () => { out.forEach((r, a) => r.forEach((_, b) => this.open.add(a * ow + b))); this.draw(); }));
    const operation = bar(radios("", {corr: "cross-correlation (as CNN libraries do)", conv: "convolution (kernel turned)"}, "corr", v => {
      this.flip = v === "conv";
      changed();
    }, "operation"));
    this.verdict = "";
    this.box.append(row(this.tx, op("∗"), this.tk, this.tf, op("="), this.to), this.live, this.ask, controls, operation);
  }
  go(i, j, how) {
    Object.assign(this, {i, j, verdict: ""});
    this.guess.value = "";
    this.live.setAttribute("aria-live", how === "hover" || this.timer ? "off" : "polite");
    this.draw();
    if (how === "key") this.to.select(i, j, true);
  }
  seen(i, j) { return !this.asking || this.open.has(i * this.output[0].length + j); }
  reveal(verdict = "") {
    this.open.add(this.i * this.output[0].length + this.j);
    this.verdict = verdict;
    this.draw();
  }
  judge() {
    if (this.guess.value === "") return this.guess.focus();
    const g = +this.guess.value, {i, j} = this;
    if (Math.abs(g - this.output[i][j]) <= 0.01) return this.reveal(el("span", {class: "verdict good"}, "✓ Right. "));
    const sums = this.terms(i, j).map(([a, b]) => fmt(a.reduce((t, v, n) => t + v * b[n], 0)));
    this.verdict = el("span", {class: "verdict"}, `Not ${fmt(g)}. Row by row, the products add up to ${sums.join(", ")}.`);
    this.draw();
  }
  terms(i, j) { return windowAt(this.x, i, j, this.K.length, this.K[0].length, this.s, this.d).map((r, u) => [r, this.K[u]]); }
  draw() {
    const {i, j, s, d, x, k, tx, to} = this;
    const turned = [...k].reverse().map(r => [...r].reverse());
    const K = this.K = this.flip ? turned : k;
    const O = this.output = corr(x, K, s, d);
    const seen = this.seen(i, j), small = x[0].length > 12;
    this.tf.hidden = !this.flip;
    put(this.tf, turned);
    tx.querySelectorAll(".in").forEach(c => { c.classList.remove("in"); c.removeAttribute("data-w"); });
    K.forEach((r, u) => r.forEach((w, v) => {
      const c = tx.at(i * s + u * d, j * s + v * d);
      c.classList.add("in");
      if (!small) c.dataset.w = fmt(w);
    }));
    put(to, O.map((r, a) => r.map((v, b) => this.seen(a, b) ? v : 0)),
      {text: (_, a, b) => this.seen(a, b) ? fmt(O[a][b]) : "?", max: largest(O)});
    to.select(i, j);
    this.ask.hidden = !this.asking || seen;
    const rows = this.terms(i, j);
    this.say(row(el("span", {class: "t"}, `out[${i}, ${j}] = `), worked(rows.map(r => r[0]), rows.map(r => r[1])),
      el("b", {}, ` = ${seen ? fmt(O[i][j]) : "?"} `)), this.verdict,
    this.flip && largest(k.map((r, u) => r.map((v, w) => v - turned[u][w]))) === 0
      ? el("span", {class: "note"}, "This kernel looks the same when turned: both operations agree.") : "");
  }
}
