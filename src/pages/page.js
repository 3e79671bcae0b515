"use strict";
// The page's own script: colours, hints, charts that are drawn when they come near the window, tables, packed columns.
// Everything a script of a report may use hangs on `window.lockstep`.
const lockstep = window.lockstep = (function () {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;
  const redraws = []; // called when the colours change
  const works = []; // functions that a report's own scripts have to have done before the page counts as opened

  // -- colours --
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem("lockstep-theme") || "auto"; } catch (error) { return "auto"; } };
  const remember = choice => { try { localStorage.setItem("lockstep-theme", choice); } catch (error) { /* a private window keeps nothing */ } };
  let theme = remembered();
  function paint() {
    root.dataset.theme = theme === "auto" ? (system.matches ? "dark" : "light") : theme;
    document.getElementById("theme").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
  }
  function setTheme(choice) {
    theme = choice;
    remember(choice);
    paint();
    redraws.forEach(redraw => redraw());
  }
  paint();
  document.getElementById("theme").addEventListener("click",
    () => setTheme({ auto: "light", light: "dark", dark: "auto" }[theme]));
  system.addEventListener("change", () => { if (theme === "auto") { setTheme("auto"); } });
  const roles = /^(page|card|raised|line|text|dim|accent|good|bad|warn|series-[0-7])(?:@([\d.]+))?$/;
  function colour(name) {
    const match = roles.exec(name);
    if (!match) { return name; }
    const hex = getComputedStyle(root).getPropertyValue("--" + match[1]).trim();
    if (match[2] === undefined) { return hex; }
    const part = at => parseInt(hex.slice(at, at + 2), 16);
    return "rgba(" + part(1) + "," + part(3) + "," + part(5) + "," + match[2] + ")";
  }
  // A copy of the value in which what stands where a colour is due, and names a role, is a colour.
  function coloured(value, due) {
    if (typeof value === "string") { return due ? colour(value) : value; }
    if (Array.isArray(value)) { return value.length > 64 && !due ? value : value.map(one => coloured(one, due)); }
    if (value === null || typeof value !== "object" || ArrayBuffer.isView(value) || value.bdata !== undefined) { return value; }
    const copy = {};
    for (const key of Object.keys(value)) { copy[key] = coloured(value[key], /colou?r/i.test(key)); }
    return copy;
  }

  // -- charts --
  function styled(layout) {
    const axis = { gridcolor: "line", linecolor: "line", zerolinecolor: "line", tickcolor: "line", automargin: true };
    const title = { font: { color: "dim", size: 11.5 }, standoff: 8 };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: "text", size: 11.5, family: getComputedStyle(document.body).fontFamily },
      margin: { l: 56, r: 14, t: 10, b: 34 }, hovermode: "closest", colorway: [0, 1, 2, 3, 4, 5, 6, 7].map(i => "series-" + i),
      hoverlabel: { bgcolor: "card", bordercolor: "line", font: { color: "text" } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "dim", activecolor: "accent" },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" }
    };
    const full = Object.assign({}, base, layout);
    const axes = new Set(["xaxis", "yaxis", ...Object.keys(full).filter(key => /^[xy]axis\d*$/.test(key))]);
    axes.forEach(key => { full[key] = Object.assign({}, axis, full[key], { title: Object.assign({}, title, (full[key] || {}).title) }); });
    return coloured(full, false);
  }
  // Without the server's address and its button, the library has nowhere to send a chart to.
  const config = { responsive: true, displaylogo: false, displayModeBar: "hover", plotlyServerURL: "",
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"] };
  const plot = (place, traces, layout) => Plotly.react(place, coloured(traces, false), styled(layout || {}), config);
  const drawn = new Map();
  function drawChart(ident) {
    if (!drawn.has(ident)) {
      const figure = data.charts[ident];
      const place = document.getElementById(ident);
      drawn.set(ident, place ? plot(place, figure.data, figure.layout) : Promise.resolve());
      redraws.push(() => { if (place) { plot(place, figure.data, figure.layout); } });
    }
    return drawn.get(ident);
  }
  const whenIdle = () => new Promise(done => window.requestIdleCallback ? requestIdleCallback(done, { timeout: 200 }) : setTimeout(done, 0));
  async function drawNear() {
    const near = ident => {
      const place = document.getElementById(ident);
      return place && place.getBoundingClientRect().top < window.innerHeight + 400;
    };
    for (const ident of Object.keys(data.charts).filter(near)) { await drawChart(ident); }
  }
  async function drawRest() {
    const watcher = new IntersectionObserver(entries => entries.forEach(entry => {
      if (entry.isIntersecting) { watcher.unobserve(entry.target); drawChart(entry.target.id); }
    }), { rootMargin: "600px" });
    const rest = Object.keys(data.charts).filter(ident => !drawn.has(ident) && document.getElementById(ident));
    rest.forEach(ident => watcher.observe(document.getElementById(ident)));
    for (const ident of rest) { await whenIdle(); await drawChart(ident); }
  }

  // -- packed columns --
  const sizes = { i1: Int8Array, i2: Int16Array, i4: Int32Array, i8: BigInt64Array, f8: Float64Array };
  function bytesOf(base64) {
    if (Uint8Array.fromBase64) { return Uint8Array.fromBase64(base64); }
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) { bytes[i] = text.charCodeAt(i); }
    return bytes;
  }
  async function unpack(name) {
    const place = document.getElementById("pack-" + name);
    const stream = new Blob([bytesOf(place.textContent)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const raw = new Uint8Array(await new Response(stream).arrayBuffer());
    const columns = {};
    let at = 0;
    for (const entry of JSON.parse(place.dataset.columns)) {
      const width = Number(entry.kind.slice(1)), count = entry.count;
      const bytes = width === 1 ? raw.slice(at, at + count) : new Uint8Array(width * count);
      for (let b = 0; width > 1 && b < width; b++) {
        const from = at + b * count;
        for (let i = 0, to = b; i < count; i++, to += width) { bytes[to] = raw[from + i]; }
      }
      at += width * count;
      let values = new sizes[entry.kind](bytes.buffer);
      if (entry.kind !== "f8") {
        const whole = new Float64Array(count), unit = entry.unit;
        if (entry.kind === "i8") { values = Float64Array.from(values, Number); }
        let sum = 0;
        for (let i = 0; i < count; i++) { sum += values[i]; whole[i] = sum * unit; }
        values = whole;
      }
      columns[entry.name] = entry.texts ? Array.from(values, place => entry.texts[place]) : values;
    }
    return columns;
  }

  // -- hints and contents --
  function hints() {
    const hint = document.getElementById("hint");
    const hide = () => { hint.hidden = true; };
    const show = event => {
      const of = event.target.closest && event.target.closest("[data-meaning]");
      if (!of) { hide(); return; }
      hint.textContent = of.dataset.meaning;
      hint.hidden = false;
      const box = of.getBoundingClientRect(), own = hint.getBoundingClientRect();
      const left = Math.max(8, Math.min(box.left, window.innerWidth - own.width - 8));
      const below = box.bottom + 6 + own.height < window.innerHeight;
      hint.style.left = left + "px";
      hint.style.top = (below ? box.bottom + 6 : Math.max(8, box.top - own.height - 6)) + "px";
    };
    document.addEventListener("mouseover", show);
    document.addEventListener("focusin", show);
    document.addEventListener("focusout", hide);
    document.addEventListener("scroll", hide, true);
    document.addEventListener("keydown", event => { if (event.key === "Escape") { hide(); } });
  }
  function contents() {
    const nav = document.getElementById("contents"), links = new Map();
    for (const part of document.querySelectorAll('main section[id]:not([data-short=""])')) {
      const link = document.createElement("a");
      link.href = "#" + part.id;
      link.textContent = part.dataset.short || part.querySelector("h2").firstChild.textContent;
      nav.append(link);
      links.set(part, link);
    }
    const watcher = new IntersectionObserver(entries => entries.forEach(entry =>
      links.get(entry.target).classList.toggle("here", entry.isIntersecting)), { rootMargin: "-60px 0px -60% 0px" });
    links.forEach((link, part) => watcher.observe(part));
  }
  return { data, values: data.values, colour, coloured, plot, redraws, works, unpack, setTheme, hints, contents, drawNear, drawRest, tables: {} };
})();
