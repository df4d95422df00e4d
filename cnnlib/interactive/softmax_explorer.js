// Logits in; probabilities, loss and gradient out: every number of softmax and cross-entropy.
({Figure, fmt, el, bar, button, slider}) => class extends Figure {
  static css = `
    .cls{display:grid;grid-template-columns:minmax(5.1em,.8fr) 9.9em 4.2em 3.7em minmax(6.4em,1.5fr) minmax(6.8em,1.5fr);
      gap:.2em .7em;align-items:center;padding:.28em .45em;border-top:1px solid var(--line);font-variant-numeric:tabular-nums}
    .cls.true{background:var(--soft);box-shadow:inset 3px 0 var(--mark)}
    .heads{border:0;font-size:.86em;color:var(--quiet)}
    .c{display:flex;align-items:center;gap:.45em;min-width:0}
    .s,.e{justify-content:flex-end}
    .who span{overflow-wrap:anywhere}.true .who span{font-weight:700}
    .z input[type=range]{flex:1;min-width:3em}
    .z .num{width:5.1em;appearance:textfield;-moz-appearance:textfield}.z .num::-webkit-inner-spin-button{-webkit-appearance:none;margin:0}
    .track{flex:1;position:relative;height:1.05em;background:var(--soft);border-radius:.2em;overflow:hidden;min-width:1.8em}
    .track i{position:absolute;top:0;bottom:0;left:0;background:var(--pos);transition:width .15s}
    .track.mid i{left:auto}
    .mid::after,.big b{content:"";position:absolute;top:0;bottom:0;left:50%;border-left:1px solid currentColor}
    .big{display:block;height:1em;margin-top:.5em}.big i{background:var(--neg)}.big b{border-left:2px dashed currentColor}
    .ends{display:flex;justify-content:space-between;gap:1em;font-size:.84em;color:var(--quiet);margin-top:.15em}
    output{white-space:nowrap;text-align:right;min-width:3.7em}
    .warm{max-width:22em;flex:1 1 17em}
    @container (max-width:600px){
      .heads{display:none}.cls{grid-template-columns:1fr 1fr;row-gap:.3em;padding-block:.5em}
      .c::before{color:var(--quiet);white-space:nowrap}
      .s::before{content:"z − max";margin-right:auto}.e::before{content:"exp";margin-right:auto}.p::before{content:"p"}.g::before{content:attr(data-h)}
      .s,.e,.p,.g{font-size:.9em}}
    @media (forced-colors:active){.track{border:1px solid CanvasText}.track i{background:Highlight;forced-color-adjust:none}}`;
  build({logits, names, label: truth, temperature}) {
    const K = logits.length, f4 = v => v.toFixed(4).replace(/^-(?=0\.0000$)/, "").replace("-", "−"), scale = 8;
    let z, label, T, offset;
    const lo = Math.min(-8, Math.floor(Math.min(...logits))), hi = Math.max(8, Math.ceil(Math.max(...logits)));
    const part = (cls, ...kids) => el("span", {class: "c " + cls}, ...kids), track = (cls, ...kids) => el("span", {class: "track " + cls, "aria-hidden": "true"}, ...kids);
    const rows = names.map((name, k) => {
      const r = {s: part("s"), e: part("e"), p: el("output", {"aria-live": "off", "aria-label": `probability of ${name}`}), pbar: el("i"), g: el("output", {"aria-live": "off", "aria-label": `gradient of ${name}`}), gbar: el("i")};
      r.number = el("input", {type: "number", step: "any", class: "num", "aria-label": `logit of ${name}`, onchange: () => this.draw(),
        oninput: e => { const ok = e.target.value !== "" && Number.isFinite(+e.target.value); e.target.setAttribute("aria-invalid", !ok);
          if (ok) { z[k] = +e.target.value; this.draw(r.number); } }});
      r.slide = el("input", {type: "range", min: lo, max: hi, step: 0.1, "aria-label": `logit of ${name}, slider`,
        oninput: e => { z[k] = +(offset + +e.target.value).toFixed(10); this.draw(); }});
      r.radio = el("input", {type: "radio", name: "truth", "aria-label": `${name} is the true class`, onchange: () => { label = k; this.draw(); }});
      r.box = el("div", {class: "cls", role: "group", "aria-label": name}, el("label", {class: "c who"}, r.radio, el("span", {}, name)),
        part("z", r.number, r.slide), r.s, r.e, part("p", track("", r.pbar), r.p), r.grad = part("g", track("mid", r.gbar), r.g));
      return r;
    });
    const heads = ["true class", "logit z", "z − max", "exp", "probability p", "gradient p − y"].map((t, k) => part(["who", "z", "s", "e", "p", "g"][k], t));
    const shift = el("p", {class: "note"}), needle = el("i"), guess = el("b");
    const warm = slider("temperature T", {min: 0.1, max: 5, step: 0.1, value: temperature}, v => { T = v; this.draw(); });
    warm.classList.add("warm");
    const reset = () => { z = [...logits]; offset = 0; label = truth; warm.set(T = temperature); };
    reset();
    this.hint.append(`${K} classes`);
    this.box.append(el("div", {class: "cls heads", "aria-hidden": "true"}, ...heads), ...rows.map(r => r.box), shift, this.live,
      track("big", needle, guess), el("div", {class: "ends", "aria-hidden": "true"}, el("span", {}, "0 nats"), el("span", {}, "dashed: pure guessing"), el("span", {}, `${scale} nats`)),
      bar(button("Add 100 to every logit", () => { z = z.map(v => v + 100); offset += 100; this.draw(); }), button("Reset", () => { reset(); this.draw(); }), warm));

    this.draw = typing => {
      const m = Math.max(...z), s = z.map(v => (v - m)/T), e = s.map(Math.exp), S = e.reduce((a, b) => a + b, 0), p = e.map(v => v/S);
      const loss = Math.log(S) - s[label], grad = p.map((v, k) => (v - (k === label))/T), top = Math.max(1, ...grad.map(Math.abs)), hot = T !== 1;
      this.output = {p, loss, grad};
      heads[2].textContent = hot ? "(z − max)/T" : "z − max";
      heads[5].textContent = hot ? "(p − y)/T" : "gradient p − y";
      rows.forEach((r, k) => {
        if (r.number !== typing) { r.number.value = +z[k].toFixed(4); r.number.removeAttribute("aria-invalid"); }
        r.slide.value = z[k] - offset; r.slide.setAttribute("aria-valuetext", fmt(z[k]));
        r.radio.checked = k === label; r.box.classList.toggle("true", k === label);
        r.s.textContent = f4(s[k]); r.e.textContent = f4(e[k]);
        r.grad.dataset.h = hot ? "(p − y)/T" : "p − y";
        r.p.textContent = f4(p[k]); r.pbar.style.width = 100*p[k] + "%";
        r.g.textContent = (grad[k] >= 0.00005 ? "+" : "") + f4(grad[k]);
        r.gbar.style.cssText = `width:${50*Math.abs(grad[k])/top}%;${grad[k] < 0 ? "right" : "left"}:50%;background:var(--${grad[k] < 0 ? "neg" : "pos"})`;
      });
      const raw = Math.exp(m/T), big = raw === Infinity ? "would overflow to ∞, and ∞ / ∞ is no number" : `would reach ${fmt(raw)}`;
      shift.textContent = `The largest logit, ${fmt(m, 4)}, is subtracted first; without that exp ${big}. The exponentials add up to ${f4(S)}.`;
      this.say(`p(${names[label]}) = ${f4(e[label])} / ${f4(S)} = ${f4(p[label])}. Loss = −ln ${f4(p[label])} = `, el("b", {}, f4(loss)), ` nats of surprise; guessing among ${K} costs ln ${K} = ${f4(Math.log(K))}.`);
      needle.style.width = Math.min(100, 100*loss/scale) + "%"; guess.style.left = 100*Math.log(K)/scale + "%";
    };
  }
}
