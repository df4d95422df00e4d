// A computational graph: values forward node by node, then gradients backward node by node.
({Figure, fmt, factor, el, svg, row, bar, button, choose}) => class extends Figure {
  static css = `
    svg{display:block;width:100%;max-width:760px;height:auto;margin:.3em 0;overflow:visible}
    .edge{fill:none;stroke:currentColor;stroke-opacity:.45;stroke-width:1.4}
    .edge.sent{stroke-opacity:.9}.edge.now{stroke-width:3;stroke-opacity:1}
    rect{fill:var(--soft);stroke:var(--line);stroke-width:1.2}
    .node.now rect{stroke:var(--mark);stroke-width:3}
    .leaf rect{fill:none;stroke-dasharray:4 3}
    text{fill:currentColor;font-size:13px;font-variant-numeric:tabular-nums}
    .name{font-size:12.5px;font-style:italic}.value{font-weight:700}
    .grad,.tag{fill:color-mix(in srgb,var(--neg) 62%,currentColor)}.tag{font-size:12px}.slim text{font-size:12px}
    .fields{margin-top:.6em}.fields .num{width:4.4em;appearance:textfield;-moz-appearance:textfield}.fields .num::-webkit-inner-spin-button{-webkit-appearance:none;margin:0}
    .chain{margin:0;flex:1 1 16em;font-variant-numeric:tabular-nums}
    .tight{gap:.4em}`;
  build(spec) {
    const sig = z => 1/(1 + Math.exp(-z));
    // f: value; d: local derivatives; s, l: the same in symbols (n: names of the arguments, o: name of the node).
    const OPS = {
      mul: {f: (a, b) => a*b, d: ([a, b]) => [b, a], s: n => n.join(" · "), l: ([a, b]) => [b, a], x: "×"},
      add: {f: (...v) => v.reduce((a, b) => a + b), d: v => v.map(() => 1), s: n => n.join(" + "), l: n => n.map(() => "1"), x: "+"},
      sub: {f: (a, b) => a - b, d: () => [1, -1], s: n => n.join(" − "), l: () => ["1", "−1"], x: "−"},
      relu: {f: a => a > 0 ? a : 0, d: ([a]) => [a > 0 ? 1 : 0], s: ([a]) => `relu(${a})`, l: ([a]) => [`[${a} > 0]`], x: "relu"},
      sigmoid: {f: sig, d: ([a]) => [sig(a)*(1 - sig(a))], s: ([a]) => `σ(${a})`, l: (n, o) => [`${o}(1 − ${o})`], x: "σ"},
      square: {f: a => a*a, d: ([a]) => [2*a], s: ([a]) => `${a}²`, l: ([a]) => [`2${a}`], x: "( )²"},
      sqerr: {f: (a, b) => (a - b)*(a - b), d: ([a, b]) => [2*(a - b), -2*(a - b)], s: ([a, b]) => `(${a} − ${b})²`,
        l: ([a, b]) => [`2(${a} − ${b})`, `−2(${a} − ${b})`], x: "( )²"}};
    let name = spec.graph, values, G, leaves, order, k = 0, wide = true, W = 700, chosen;
    const live = this.live, chain = el("p", {class: "chain", role: "status"}), fields = el("div", {class: "row fields"});
    const picture = svg("svg", {role: "img"}), title = el("span");
    const steps = this.player(d => go(this.timer && k >= last() ? 0 : k + d), 1200);
    const which = choose("chain rule for", [], v => { chosen = v; draw(); });
    const pick = choose("graph", Object.values(spec.graphs).map(g => g.title), t => load(Object.keys(spec.graphs).find(n => spec.graphs[n].title === t)), spec.graphs[name].title);
    const jump = n => () => { this.stop(); go(n()); };
    this.hint.append(title);
    this.box.append(row(pick, el("span", {class: "row tight"}, ...steps), el("span", {class: "row tight"}, button("All forward", jump(() => order.length)),
      button("All backward", jump(last)), button("Reset", jump(() => { load(name); return 0; })))), picture, live, fields, bar(which, chain));

    function last() { return 2*order.length + 1; }
    const byId = id => G.nodes.find(n => n.id === id), val = id => values[id];
    const load = id => {
      this.stop();
      G = spec.graphs[name = id]; values = {...G.values}; k = 0; chosen = G.chain;
      leaves = G.nodes.filter(n => !n.op); order = G.nodes.filter(n => n.op);
      which.field.replaceChildren(...leaves.map(n => el("option", {value: n.id}, n.label)));
      which.field.value = chosen;
      fields.replaceChildren(el("span", {}, "Inputs"), ...leaves.map(n => el("label", {}, n.label, el("input", {type: "number", step: "any", class: "num", value: values[n.id],
        oninput: e => { const ok = e.target.value !== "" && Number.isFinite(+e.target.value); e.target.setAttribute("aria-invalid", !ok);
          if (ok) { values[n.id] = +e.target.value; draw(); } }}))));
      if (this.shadowRoot) draw();
    };
    function go(n) { k = Math.max(0, Math.min(last(), n)); draw(); }
    function local(n) { return OPS[n.op].d(n.args.map(val)); }
    function compute() {
      for (const n of order) values[n.id] = OPS[n.op].f(...n.args.map(val));
      const grad = {};
      grad[order.at(-1).id] = 1;
      for (const n of [...order].reverse()) local(n).forEach((d, i) => {
        grad[n.args[i]] = (grad[n.args[i]] || 0) + grad[n.id]*d; });
      return grad;
    }
    // Every path from a node to the loss, as lists of [local derivative, in symbols].
    function paths(id) {
      if (id === order.at(-1).id) return [[]];
      return order.flatMap(n => n.args.flatMap((a, i) => a !== id ? [] : paths(n.id).map(p =>
        [...p, [local(n)[i], OPS[n.op].l(n.args.map(t => byId(t).label), n.label)[i]]])));
    }
    const draw = () => {
      const grad = compute(), N = order.length, back0 = k - N - 1, L = order.at(-1), lab = id => byId(id).label;
      const done = new Set([...leaves.map(n => n.id), ...order.slice(0, k).map(n => n.id)]);
      // What has reached each node after this many backward steps (a fork is complete only when all its users sent).
      const rev = [...order].reverse(), got = {}, sent = new Set(), active = k < 1 ? null : k <= N ? order[k - 1] : back0 > 0 ? rev[back0 - 1] : L;
      if (k > N) got[L.id] = 1;
      for (let s = 0; s < back0; s++) { const n = rev[s]; sent.add(n.id);
        local(n).forEach((d, i) => got[n.args[i]] = (got[n.args[i]] || 0) + grad[n.id]*d); }
      paint(done, got, sent, active, grad);
      const D = id => `∂${L.label}/∂${lab(id)}`, wrap = t => /[+−]/.test(t.slice(1)) ? `(${t})` : t;
      if (!k) live.textContent = `${G.formula}. The inputs are set; Step computes ${order[0].label}.`;
      else if (k <= N) { const n = active, o = OPS[n.op];
        live.textContent = `Forward ${k} of ${N}: ${n.label} = ${o.s(n.args.map(lab))} = ${o.s(n.args.map(a => factor(val(a))))} = ${fmt(val(n.id))}.`
          + (k === N ? " Now backward." : "");
      } else if (!back0) live.textContent = `Backward starts at the end: ∂${L.label}/∂${L.label} = 1.`;
      else { const n = active, ds = local(n), ls = OPS[n.op].l(n.args.map(lab), n.label);
        live.textContent = `Backward ${back0} of ${N}, through ${n.label} = ${OPS[n.op].s(n.args.map(lab))}, upstream ${D(n.id)} = ${fmt(grad[n.id])}: ` + n.args.map((a, i) => {
          const before = rev.slice(0, back0 - 1).some(m => m.args.includes(a)), g = grad[n.id]*ds[i];
          return `${D(a)} ${before ? "gains" : "="} ${factor(grad[n.id])} × ${/^−?1$/.test(ls[i]) ? "" : wrap(ls[i]) + " = " + factor(grad[n.id]) + " × "}${factor(ds[i])} = ${fmt(g)}${before ? `, together ${fmt(got[a])}` : ""}`;
        }).join("; ") + ".";
      }
      const ps = paths(chosen);
      chain.textContent = `${D(chosen)} = ` + ps.map(p => p.map(t => wrap(t[1])).join(" · ")).join(" + ") + " = "
        + ps.map(p => p.map(t => factor(t[0])).join(" × ")).join(" + ") + ` = ${fmt(grad[chosen])}`;
      steps[0].disabled = !k; steps[1].disabled = k === last();
      this.output = {values: {...values}, grads: grad, step: k};
    };
    function paint(done, got, sent, active, grad) {
      const levels = Math.max(...G.nodes.map(n => n.level)), lanes = Math.max(...G.nodes.map(n => n.lane));
      const w = wide ? 72 : Math.min(76, W/(lanes + 1) - 6), h = 54, H = wide ? lanes*64 + h + 4 : levels*86 + h + 4;
      const pos = n => wide ? [n.level*(W - w - 4)/levels + w/2 + 2, n.lane*64 + h/2 + 2]
        : [lanes ? n.lane*(W - w - 4)/lanes + w/2 + 2 : W/2, n.level*86 + h/2 + 2];
      const edges = [], tags = [], boxes = [];
      for (const n of order) n.args.forEach((a, i) => {
        const [x1, y1] = pos(byId(a)), [x2, y2] = pos(n), d = local(n)[i], on = sent.has(n.id), now = active === n;
        const far = wide ? x2 - x1 : y2 - y1, [ax, ay, bx, by] = wide ? [x1 + w/2, y1, x2 - w/2 - 5, y2] : [x1, y1 + h/2, x2, y2 - h/2 - 5];
        const m = far/2 - (wide ? w : h)/2;
        edges.push(svg("path", {d: wide ? `M${ax} ${ay}C${ax + m} ${ay} ${bx - m} ${by} ${bx} ${by}` : `M${ax} ${ay}C${ax} ${ay + m} ${bx} ${by - m} ${bx} ${by}`,
          class: "edge" + (on ? " sent" : "") + (now ? " now" : ""), "marker-end": "url(#tip)"}));
        // The factor stands where its edge starts, on the side from which the curve bends away; where
      // several edges start, it stands further along the bending ones.
      const turn = wide ? by - ay : bx - ax, bends = Math.abs(turn) > 9, users = order.filter(o => o.args.includes(a));
      const along = bends && users.length > 1, pull = users.reduce((s, o) => s + o.lane - byId(a).lane, 0), text = "×" + fmt(d);
      const right = bends ? turn < 0 : pull <= 0;
      const spot = along ? (wide ? {x: ax + 0.34*(bx - ax) + 8, y: ay + 0.216*turn + (turn > 0 ? -1 : 11)}
        : {x: ax + 0.25*turn, y: ay + 0.34*(by - ay) - 4, "text-anchor": "middle"})
        : wide ? {x: ax + 4, y: ay + ((bends ? turn : pull) < 0 ? 14 : -6)}
        : {x: right ? Math.min(ax + 5, W - 7*text.length) : Math.max(ax - 5, 7*text.length), y: ay + (bends ? 13 + 12*(i % 2) : 12), "text-anchor": right ? "start" : "end"};
      if (on) tags.push(svg("text", {...spot, class: "tag"}, text));
      });
      for (const n of G.nodes) {
        const [x, y] = pos(n), text = (dy, t, cls) => svg("text", {x, y: y + dy, class: cls, "text-anchor": "middle"}, t);
        boxes.push(svg("g", {class: "node" + (n === active ? " now" : "") + (n.op ? "" : " leaf")},
          svg("rect", {x: x - w/2, y: y - h/2, width: w, height: h, rx: n.op ? 9 : 2}),
          text(-11, n.op ? `${n.label}  ${OPS[n.op].x}` : n.label, "name"), text(5, done.has(n.id) ? fmt(val(n.id)) : "?", "value"),
          text(21, n.id in got ? (wide ? "∂ " : "∂") + fmt(got[n.id]) : "", "grad")));
      }
      picture.classList.toggle("slim", !wide);
      picture.setAttribute("viewBox", `0 0 ${W} ${H}`);
      picture.setAttribute("aria-label", `computational graph of ${G.formula}. ` + G.nodes.filter(n => done.has(n.id)).map(n =>
        `${n.label} = ${fmt(val(n.id))}` + (n.id in got ? `, gradient ${fmt(got[n.id])}` : "")).join("; "));
      picture.replaceChildren(svg("defs", {}, svg("marker", {id: "tip", viewBox: "0 0 8 8", refX: 3, refY: 4, markerUnits: "userSpaceOnUse", markerWidth: 9, markerHeight: 9, orient: "auto"},
        svg("path", {d: "M0 0L8 4L0 8z", fill: "currentColor"}))), ...edges, ...boxes, ...tags);
      title.textContent = G.formula;
    }
    this.draw = draw;
    load(name);
    this.eyes = new ResizeObserver(([e]) => {
      const v = Math.round(e.contentRect.width);
      if (v && v !== W) { wide = v >= 560; W = Math.min(v, wide ? 760 : 420); draw(); }
    });
    this.eyes.observe(this.live);
  }
}
