"use strict";
// The heat map of a suite: a figure over two parameters, all three chosen in the page. Its numbers are those of the table
// of runs. `lockstep.heat` has `shown`, what is drawn now: x, y, z, and for each cell how many different runs it has.
lockstep.heat = { shown: null, choose: null };
lockstep.works.push(async function () {
  const about = lockstep.values.suite, place = document.getElementById("heat");
  if (!about || !place) { return; }
  const table = lockstep.tables.ranking, values = at => table.values[at];
  const missing = value => value === null || value === undefined || value === "" || (typeof value === "number" && Number.isNaN(value));
  const byName = (list, name) => list.find(one => one.name === name);
  const withSeveral = about.labels.filter(one => new Set([...values(one.at)].filter(value => !missing(value))).size > 1);
  const axes = (withSeveral.length ? withSeveral : about.labels).map(one => one.name);
  // At first the two that say the most: those with the most different values.
  const many = name => new Set([...values(byName(about.labels, name).at)].filter(value => !missing(value))).size;
  const first = [...axes].sort((a, b) => many(b) - many(a)).slice(0, 2).sort((a, b) => axes.indexOf(a) - axes.indexOf(b));
  const state = { x: first[0], y: first[1] || "", of: byName(about.of, about.by) ? about.by : about.of[0].name, only: {} };

  const tools = document.getElementById("heat-tools"), note = document.getElementById("heat-note");
  const fields = {};
  function field(name, title, options, chosen, change) {
    const label = document.createElement("label"), select = document.createElement("select");
    select.id = "heat-" + name.replace(/[^A-Za-z0-9_-]/g, "-");
    label.htmlFor = select.id;
    label.textContent = title;
    options.forEach(([value, text]) => select.append(new Option(text, value)));
    select.value = chosen;
    select.addEventListener("change", () => { change(select.value); draw(); });
    fields[name] = { label, select };
    return [label, select];
  }
  const sortedValues = at => [...new Set([...values(at)].filter(value => !missing(value)))]
    .sort((a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : 1);
  function others() { return about.labels.filter(one => one.name !== state.x && one.name !== state.y); }
  function build() {
    tools.replaceChildren();
    const names = about.labels.map(one => [one.name, one.name]);
    tools.append(...field("of", "figure", about.of.map(one => [one.name, one.words]), state.of, value => { state.of = value; }));
    tools.append(...field("x", "across", names, state.x, value => { if (value === state.y) { state.y = state.x; } state.x = value; state.only = {}; build(); }));
    tools.append(...field("y", "down", [...names, ["", "nothing"]], state.y, value => { if (value === state.x) { state.x = state.y || about.labels.find(one => one.name !== value)?.name || value; } state.y = value === state.x ? "" : value; state.only = {}; build(); }));
    for (const one of others().filter(one => sortedValues(one.at).length > 1)) {
      const options = [["", "all"], ...sortedValues(one.at).map((value, i) => [String(i), String(value)])];
      tools.append(...field("only-" + one.name, one.name, options, state.only[one.name] || "", value => { state.only[one.name] = value; }));
    }
  }

  function cells() {
    const x = byName(about.labels, state.x), y = byName(about.labels, state.y), of = byName(about.of, state.of);
    const xs = values(x.at), ys = y ? values(y.at) : null, zs = values(of.at), runs = values(about.run), names = values(about.name);
    const kept = others().filter(one => state.only[one.name]).map(one => ({ column: values(one.at), value: sortedValues(one.at)[Number(state.only[one.name])] }));
    const found = new Map();
    for (let i = 0; i < table.count; i++) {
      if (missing(xs[i]) || (ys && missing(ys[i])) || missing(zs[i]) || kept.some(one => one.column[i] !== one.value)) { continue; }
      const key = JSON.stringify([xs[i], ys ? ys[i] : ""]);
      if (!found.has(key)) { found.set(key, new Map()); }
      const cell = found.get(key), run = runs[i] || "row " + i; // the same run in several places counts once
      if (!cell.has(run)) { cell.set(run, { value: zs[i], name: names[i].replace(/<[^>]*>/g, ""), row: i }); }
    }
    return { x, y, of, found };
  }
  function draw() {
    const { x, y, of, found } = cells();
    const keys = [...found.keys()].map(key => JSON.parse(key));
    const across = sortedValues(x.at).filter(value => keys.some(key => key[0] === value));
    const down = y ? sortedValues(y.at).filter(value => keys.some(key => key[1] === value)) : [""];
    const column = table.columns[of.at], tell = value => lockstep.format.value(value, column);
    const z = [], text = [], hover = [], counts = [];
    let shared = 0, filled = 0, most = 1;
    const differ = new Set();
    for (const b of down) {
      const row = [], words = [], tips = [], many = [];
      for (const a of across) {
        const cell = found.get(JSON.stringify([a, b]));
        const runs = cell ? [...cell.values()] : [];
        const sum = runs.reduce((total, one) => total + one.value, 0);
        row.push(runs.length ? sum / runs.length : null);
        many.push(runs.length);
        filled += runs.length > 0;
        shared += runs.length > 1;
        most = Math.max(most, runs.length);
        if (runs.length > 1) {
          others().forEach(one => { if (new Set(runs.map(run => values(one.at)[run.row])).size > 1) { differ.add(one.name); } });
        }
        const own = runs.map(one => one.value);
        words.push(runs.length ? (runs.length > 1 ? "ø " : "") + tell(sum / runs.length) : "");
        tips.push(runs.length > 1 ? "mean of " + runs.length + " runs, " + tell(Math.min(...own)) + " to " + tell(Math.max(...own))
          : runs.length ? runs[0].name + ": " + tell(own[0]) : "no run");
      }
      z.push(row); text.push(words); hover.push(tips); counts.push(many);
    }
    lockstep.heat.shown = { x: across, y: down, z, counts, of: of.name };
    const flat = z.flat().filter(value => value !== null), low = Math.min(...flat), high = Math.max(...flat);
    const crosses = flat.length && low < 0 && high > 0, ends = of.low ? ["good", "bad"] : ["bad", "good"];
    const scale = crosses ? [[0, ends[0] + "@0.6"], [0.5, "card"], [1, ends[1] + "@0.6"]]
      : of.low ? [[0, "accent@0.55"], [1, "accent@0.05"]] : [[0, "accent@0.05"], [1, "accent@0.55"]];
    const trace = { type: "heatmap", x: across.map(String), y: down.map(String), z, customdata: hover, colorscale: scale, xgap: 1, ygap: 1,
      hovertemplate: x.name + " %{x}" + (y ? ", " + y.name + " %{y}" : "") + "<br>%{customdata}<extra></extra>", hoverongaps: false,
      colorbar: { thickness: 10, outlinewidth: 0, title: { text: of.words, side: "right" } } };
    if (across.length * down.length <= 400) { trace.text = text; trace.texttemplate = "%{text}"; trace.textfont = { color: "text" }; }
    if (crosses) { trace.zmid = 0; }
    const layout = { xaxis: { type: "category", title: { text: x.name }, showgrid: false }, yaxis: { type: "category", title: { text: y ? y.name : "" }, showgrid: false }, margin: { t: 28, l: 56, r: 14, b: 34 } };
    const words = filled + (filled === 1 ? " cell" : " cells");
    note.textContent = !filled ? "No run has this figure."
      : shared ? words + ", " + shared + (shared === 1 ? " of them shows" : " of them show") + " the mean (ø) of several different runs, " + most + " at most"
        + (differ.size ? ", which differ in " + [...differ].join(", ") : ", which differ in what no label says") + ": choose values above to see them apart."
        : words + ", each of one run.";
    return lockstep.plot(place, [trace], layout);
  }
  lockstep.heat.choose = (name, value) => {
    const select = fields[name].select;
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  lockstep.redraws.push(draw);
  build();
  await draw();
});
