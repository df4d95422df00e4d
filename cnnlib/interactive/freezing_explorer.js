// The freezing explorer: a row for each stage, a box to tick, and the three products of a training step as bars.
({Figure, el, fmt, row, choose, button}) => class extends Figure {
  static css = `
    table.plan{display:table;width:100%;max-width:40em;border-collapse:collapse;table-layout:fixed}
    .plan th,.plan td{border:0;border-bottom:1px solid var(--line);width:auto;min-width:0;height:auto;padding:.28em .4em;text-align:left;font-size:.92em;font-weight:400;background:none}
    table.plan tbody{display:table-row-group;width:auto}
    .plan thead th{color:var(--quiet);font-size:.86em;vertical-align:bottom}
    .plan th:first-child{width:7.2em}
    .plan i{display:block;height:.5em;border-radius:.2em;background:var(--pos);min-width:2px}
    .plan td.off{color:var(--quiet)}
    @container (max-width:26em){.plan th:first-child{width:6.2em}.plan th,.plan td{padding:.25em .2em;font-size:.84em}}
    .live p{margin:.2em 0}`;
  build(spec) {
    Object.assign(this, spec);
    this.learn = new Set(spec.learn);
    this.holder = el("div");
    this.choice = choose("network", Object.keys(this.networks), n => { this.network = n; this.learn = new Set(this.names()); this.rows(); this.draw(); }, this.network);
    const preset = (text, from) => button(text, () => { this.learn = new Set(this.names().slice(from)); this.rows(); this.draw(); });
    this.box.append(row(this.choice, preset("all learn", 0), preset("the last two", -2), preset("the head", -1)), this.holder, this.live);
    this.rows();
  }
  names() { return this.networks[this.network].map(([n]) => n); }
  rows() {
    const heads = ["learns", "forward", "gradient of weights", "gradient of inputs"];
    const body = el("tbody");
    this.cells = this.networks[this.network].map(([name]) => {
      const box = el("input", {type: "checkbox", checked: this.learn.has(name), onchange: e => { this.learn[e.target.checked ? "add" : "delete"](name); this.draw(); }});
      const cells = [0, 1, 2].map(() => el("td"));
      body.append(el("tr", {}, el("th", {scope: "row"}, el("label", {}, box, name)), ...cells));
      return cells;
    });
    this.holder.replaceChildren(el("table", {class: "plan"}, el("thead", {}, el("tr", {}, ...heads.map(h => el("th", {scope: "col"}, h)))), body));
  }
  draw() {
    const stages = this.networks[this.network], on = stages.map(([n]) => this.learn.has(n)), a = on.indexOf(true);
    const sum = f => stages.reduce((t, s, k) => t + f(s, k), 0);
    const inputs = ([, , macs, first], k) => a < 0 || k < a ? 0 : k === a ? macs - first : macs;
    const forward = sum(s => s[2]), weights = sum((s, k) => on[k] ? s[2] : 0), back = sum(inputs);
    const full = 3 * forward - stages[0][3], parameters = sum((s, k) => on[k] ? s[1] : 0), step = forward + weights + back;
    this.output = {forward, weights, inputs: back, step, full, parameters};
    const [unit, name] = forward > 1e9 ? [1e9, "G"] : [1e6, "M"], most = Math.max(...stages.map(s => s[2]));
    stages.forEach((s, k) => [s[2], on[k] ? s[2] : 0, inputs(s, k)].forEach((v, j) => {
      const td = this.cells[k][j];
      td.className = v ? "" : "off";
      td.replaceChildren(v ? `${(v / unit).toFixed(1)} ${name}` : "none", ...(v ? [el("i", {style: `width:${(100 * v / most).toFixed(1)}%`, "aria-hidden": "true"})] : []));
    }));
    const p = t => el("p", {}, t), lines = [
      p(`Forward + weights + inputs: ${[forward, weights, back].map(v => (v / unit).toFixed(1)).join(" + ")} = ${(step / unit).toFixed(1)} ${name} multiply-accumulates an image, ${fmt(100 * step / full, 0)} % of training all.`),
      p(`${fmt(parameters / 1e6, 3)} million parameters learn; their gradients and Adam's two means take ${(12 * parameters / 1e6).toFixed(2)} MB.`)];
    if (a < 0) lines.push(p("Nothing learns."));
    else if (a === stages.length - 1) lines.push(p("The base is frozen: its features can be computed once and kept."));
    this.say(...lines);
  }
}
