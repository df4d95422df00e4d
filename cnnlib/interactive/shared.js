// The parts that all figures are built from: a function without arguments that returns them.
() => {
  const CSS = SHARED_CSS;

  // fmt(v): at most d decimals, a real minus sign, powers of ten for the very large and small.
  const fmt = (v, d = 3) => {
    if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "∞" : "−∞";
    const a = Math.abs(v);
    const t = v !== 0 && (a < 0.5 * 10 ** -d || a >= 1e7)
      ? v.toExponential(2).replace("+", "") : String(+v.toFixed(d) || 0);
    return t.replace(/-/g, "−");
  };
  // factor(v): as fmt, with parentheses around a negative number, for use in a product.
  const factor = v => (t => t[0] === "−" ? `(${t})` : t)(fmt(v));

  const attach = (e, props, kids) => {
    for (const [k, v] of Object.entries(props)) {
      if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
      else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v === true ? "" : v);
    }
    e.append(...kids);
    return e;
  };
  // el("button", {type: "button", onclick: f, hidden: true}, "text", node)
  const el = (tag, props = {}, ...kids) => attach(document.createElement(tag), props, kids);
  const svg = (tag, props = {}, ...kids) =>
    attach(document.createElementNS("http://www.w3.org/2000/svg", tag), props, kids);
  const row = (...kids) => el("div", {class: "row"}, ...kids);
  const bar = (...kids) => el("div", {class: "row bar"}, ...kids);
  const button = (text, onclick, props = {}) => el("button", {type: "button", onclick, ...props}, text);
  const op = t => el("span", {class: "op", "aria-hidden": "true"}, t);

  // tint(cell, v, max): blue for positive, orange for negative, stronger for larger.
  const tint = (e, v, max) => {
    e.style.setProperty("--c", v < 0 ? "var(--neg)" : "var(--pos)");
    e.style.setProperty("--a", Math.round(52 * Math.min(1, Math.abs(v) / (max || 1)) || 0) + "%");
  };
  const largest = M => M.flat(Infinity).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const zeros = (h, w) => Array.from({length: h}, () => Array(w).fill(0));

  // grid(rows, cols, caption, make): a table; t.at(i, j) is its cell; make(i, j) may give content.
  const grid = (rows, cols, caption, make) => {
    const body = el("tbody");
    for (let i = 0; i < rows; i++) {
      const tr = body.insertRow();
      for (let j = 0; j < cols; j++) {
        const made = make && make(i, j);
        tr.insertCell().append(made === undefined ? "" : made);
      }
    }
    const t = el("table", {style: `--n:${cols}`}, el("caption", {}, caption), body);
    t.at = (i, j) => body.rows[i].cells[j];
    return t;
  };
  // put(table, M): writes and tints every cell; text(v, i, j) may replace fmt.
  const put = (t, M, {text = v => fmt(v), max = largest(M)} = {}) => {
    const texts = M.map((r, i) => r.map((v, j) => {
      const td = t.at(i, j), s = text(v, i, j);
      if (td.textContent !== s) td.textContent = s;
      tint(td, v, max);
      return s;
    }));
    fit(t, texts);
  };
  // fit(table, texts): cells become wider, then smaller in print, for the longest text.
  const fit = (t, texts) => {
    const l = Math.max(3, ...texts.flat().map(s => s.length));
    t.style.setProperty("--l", l);
    t.classList.toggle("long", l > 4);
  };
  // edit(rows, cols, caption, M, changed): a table of number inputs bound to M; t.sync() reads M.
  const edit = (caption, M, name, changed) => {
    const t = grid(M.length, M[0].length, caption, (i, j) => el("input", {
      type: "number", step: "any", "aria-label": `${name}, row ${i}, column ${j}`,
      oninput: e => {
        const ok = e.target.value.trim() !== "" && Number.isFinite(+e.target.value);
        e.target.setAttribute("aria-invalid", !ok);
        if (ok) { M[i][j] = +e.target.value; colour(); changed(i, j); }
      },
      onchange: () => t.sync()}));
    const colour = () => { const m = largest(M); M.forEach((r, i) => r.forEach((v, j) => tint(t.at(i, j), v, m))); };
    t.sync = () => {
      M.forEach((r, i) => r.forEach((v, j) => {
        const e = t.at(i, j).firstChild;
        e.value = +v.toFixed(3);
        e.removeAttribute("aria-invalid");
      }));
      fit(t, M.map(r => r.map(v => String(+v.toFixed(3)))));
      colour();
    };
    t.sync();
    return t;
  };
  // arrows(event, i, j, rows, cols): the position that a key leads to, or null.
  const arrows = (e, i, j, rows, cols) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return null;
    const n = e.shiftKey ? 10 : 1;
    const to = {ArrowUp: [i - n, j], ArrowDown: [i + n, j], ArrowLeft: [i, j - n], ArrowRight: [i, j + n],
      Home: [i, 0], End: [i, cols - 1], PageUp: [0, j], PageDown: [rows - 1, j]}[e.key];
    if (!to) return null;
    e.preventDefault();
    return [Math.max(0, Math.min(rows - 1, to[0])), Math.max(0, Math.min(cols - 1, to[1]))];
  };
  // pick(table, label, go): a keyboard grid; go(i, j, how) with how "key", "click" or "hover".
  // t.select(i, j, focus) marks the cell, which alone can be reached by Tab.
  const pick = (t, label, go) => {
    const rows = t.tBodies[0].rows;
    t.setAttribute("role", "grid");
    t.setAttribute("aria-label", label);
    [...rows].forEach((tr, i) => {
      tr.setAttribute("role", "row");
      [...tr.cells].forEach((td, j) => {
        attach(td, {role: "gridcell", tabindex: -1, "aria-selected": "false",
          onclick: () => go(i, j, "click"),
          onpointerenter: e => e.pointerType === "mouse" && go(i, j, "hover")}, []);
      });
    });
    let old;
    t.addEventListener("keydown", e => {
      const td = e.target.closest("td");
      const to = td && arrows(e, td.parentNode.rowIndex, td.cellIndex, rows.length, rows[0].cells.length);
      if (to) go(...to, "key");
    });
    t.select = (i, j, focus) => {
      const td = t.at(i, j);
      if (old && old !== td) { old.tabIndex = -1; old.classList.remove("sel"); old.setAttribute("aria-selected", "false"); }
      old = td; td.tabIndex = 0; td.classList.add("sel"); td.setAttribute("aria-selected", "true");
      if (focus) td.focus();
    };
    return t;
  };

  // choose("kernel", ["a", "b"], f): a labelled select; its .field is the select itself.
  const choose = (label, names, onchange, value) => {
    const field = el("select", {"aria-label": label, onchange: e => onchange(e.target.value)}, ...names.map(n => el("option", {value: n}, n)));
    if (value !== undefined) field.value = value;
    return Object.assign(el("label", {}, label, field), {field});
  };
  let groups = 0;
  // radios("show", {a: "text", b: "text"}, "a", f): one of a few; .set(key) without an event.
  // An unseen name is given as the last argument, with "" as the legend.
  const radios = (legend, options, value, onchange, unseen) => {
    const name = "r" + groups++;
    const inputs = Object.entries(options).map(([k, text]) => el("label", {},
      el("input", {type: "radio", name, value: k, checked: k === value, onchange: () => onchange(k)}), text));
    return Object.assign(el("fieldset", {"aria-label": unseen}, legend && el("legend", {}, legend), ...inputs),
      {set: k => inputs.forEach(l => { l.firstChild.checked = l.firstChild.value === k; })});
  };
  const check = (text, onchange, checked = false) => {
    const field = el("input", {type: "checkbox", checked, onchange: e => onchange(e.target.checked)});
    return Object.assign(el("label", {}, field, text), {field});
  };
  // slider("stride", {min, max, step, value}, f): a range and a number field that go together;
  // .set(v) moves both without an event, .limit(min, max) changes what is allowed.
  const slider = (label, {min, max, step = 1, value}, oninput) => {
    const whole = Number.isInteger(step);
    const set = v => { range.value = v; field.value = v; field.removeAttribute("aria-invalid"); };
    const took = e => {
      const v = +e.target.value;
      const ok = e.target.value !== "" && v >= min && v <= max && (!whole || Number.isInteger(v));
      field.setAttribute("aria-invalid", !ok);
      if (ok) { (e.target === range ? field : range).value = v; last = v; oninput(v); }
    };
    let last = value;
    const at = {min, max, step: whole ? step : "any", oninput: took};
    const range = el("input", {...at, step, type: "range", "aria-label": label});
    const field = el("input", {...at, type: "number", class: "num", "aria-label": `${label}, number`,
      onchange: () => field.getAttribute("aria-invalid") === "true" && set(last)});
    set(value);
    return Object.assign(el("div", {class: "slider"}, el("span", {"aria-hidden": "true"}, label), range, field),
      {set: v => { last = v; set(v); }, range, field, limit: (a, b) => {
        [min, max] = [a, b];
        for (const e of [range, field]) { e.min = a; e.max = b; e.disabled = a >= b; }
      }});
  };
  // worked(A, B): the products of two matrices, one line of the sum per row of the window.
  // Long lines flow as text: always, or where the figure is as narrow as a phone.
  const worked = (A, B) => {
    const lines = A.map((r, u) => r.map((a, v) => `${u || v ? "+ " : ""}${factor(a)}×${factor(B[u][v])} `));
    const long = lines[0].reduce((t, _, v) => t + Math.max(...lines.map(l => l[v].length)), 0);
    return el("span", {class: `terms${long > 64 ? " flow" : long > 34 ? " tight" : ""}`, style: `--n:${A[0].length}`},
      ...lines.flat().map(t => el("span", {class: "t"}, t)));
  };

  // padded(X, p), corr(X, K, s, d): plain loops, added row by row as in Python.
  const padded = (X, p) => {
    const P = zeros(X.length + 2 * p, X[0].length + 2 * p);
    X.forEach((r, i) => r.forEach((v, j) => { P[i + p][j + p] = v; }));
    return P;
  };
  const size = (n, k, s = 1, p = 0, d = 1) => Math.floor((n + 2 * p - d * (k - 1) - 1) / s) + 1;
  const windowAt = (X, i, j, kh, kw, s = 1, d = 1) => Array.from({length: kh}, (_, u) =>
    Array.from({length: kw}, (_, v) => X[i * s + u * d][j * s + v * d]));
  const dot = (A, B) => {
    let t = 0;
    A.forEach((r, u) => r.forEach((a, v) => { t += a * B[u][v]; }));
    return t;
  };
  const corr = (X, K, s = 1, d = 1) => {
    const [kh, kw] = [K.length, K[0].length];
    return zeros(size(X.length, kh, s, 0, d), size(X[0].length, kw, s, 0, d)).map((r, i) =>
      r.map((_, j) => dot(windowAt(X, i, j, kh, kw, s, d), K)));
  };

  class Figure extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      // An element that the parser is still reading has no children yet.
      if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", () => this.isConnected && this.start(), {once: true});
      } else this.start();
    }
    disconnectedCallback() { this.stop(); }
    start() {
      if (this.shadowRoot) return;
      const spec = JSON.parse(this.dataset.spec);
      this.hint = el("small");
      this.live = el("div", {class: "live", role: "status"});
      this.box = el("div", {class: "box", role: "group", "aria-label": spec.title},
        el("p", {class: "title"}, spec.title, this.hint));
      this.build(spec);
      // Keep plain keys from the host's shortcuts (Jupyter's command mode, page turning).
      for (const t of ["keydown", "keypress", "keyup"]) {
        this.box.addEventListener(t, e => e.ctrlKey || e.metaKey || e.key === "Tab" || e.stopPropagation());
      }
      // Only now does the shadow hide the fallback tables: a figure that fails leaves them.
      this.attachShadow({mode: "open"}).append(el("style", {}, CSS + (this.constructor.css || "")), this.box);
      this.draw();
    }
    say(...nodes) { this.live.replaceChildren(...nodes); }
    // player(step, ms): Back, Step and Play buttons; step(+1 or -1) moves by one.
    player(step, ms = 800) {
      this.playing = button("Play", () => {
        if (this.timer) return this.stop();
        this.timer = setInterval(() => step(1), ms);
        this.playing.textContent = "Pause";
        this.live.setAttribute("aria-live", "off");
      });
      this.playing.hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const by = n => () => { this.stop(); step(n); };
      return [button("Back", by(-1)), button("Step", by(1), {class: "main"}), this.playing];
    }
    stop() {
      clearInterval(this.timer);
      this.timer = 0;
      if (this.playing) this.playing.textContent = "Play";
      if (this.live) this.live.removeAttribute("aria-live");
    }
  }
  return {Figure, fmt, factor, el, svg, row, bar, button, op, tint, largest, zeros, grid, put, edit,
    arrows, pick, choose, radios, check, slider, worked, padded, size, windowAt, dot, corr};
}
