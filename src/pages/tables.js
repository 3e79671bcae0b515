"use strict";
// Tables: sorted by value, filtered by words and comparisons, shown in pages. `lockstep.tables[ident]` is the state of one.
lockstep.format = (function () {
  const numbers = new Map();
  function fixed(value, digits) {
    if (!numbers.has(digits)) {
      numbers.set(digits, new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
    }
    const text = numbers.get(digits).format(value);
    return /^-[0.,]*$/.test(text) ? text.slice(1) : text; // zero has no sign
  }
  const significant = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 8 });
  const two = number => String(number).padStart(2, "0");
  function instant(ms) {
    const at = new Date(ms);
    const text = at.toISOString();
    const seconds = at.getUTCSeconds() || at.getUTCMilliseconds();
    return text.slice(0, 10) + " " + text.slice(11, seconds ? 19 : 16);
  }
  function duration(seconds) {
    if (seconds < 0) { return "-" + duration(-seconds); }
    if (seconds < 60) { return (seconds < 10 ? Number(seconds.toPrecision(3)) : Math.round(seconds)) + " s"; }
    const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
    return (days ? days + "d " : "") + two(hours) + ":" + two(minutes);
  }
  function value(of, column) {
    if (of === null || of === undefined || (typeof of === "number" && Number.isNaN(of))) { return "–"; }
    switch (column.kind) {
      case "money": return fixed(of, column.digits === null ? 2 : column.digits);
      case "percent": return fixed(of, column.digits === null ? 2 : column.digits) + " %";
      case "number": return column.digits === null ? (of !== 0 && Math.abs(of) < 1e-3 ? of.toExponential(2) : significant.format(of)) : fixed(of, column.digits);
      case "instant": return instant(of);
      case "duration": return duration(of);
      default: return String(of);
    }
  }
  return { value, fixed, instant, duration };
})();

lockstep.showTable = async function (ident) {
  const table = lockstep.data.tables[ident], place = document.getElementById(ident);
  if (!place) { return; }
  const columns = table.columns, count = table.count;
  const packed = table.pack ? await lockstep.unpack(table.pack) : null;
  const values = packed ? columns.map((column, i) => packed[i]) : table.values;
  const isText = column => column.kind === "text" || column.kind === "html";
  const left = column => isText(column) || column.kind === "instant";
  const missing = value => value === null || value === undefined || (typeof value === "number" && Number.isNaN(value)) || value === "";
  const element = (name, options) => Object.assign(document.createElement(name), options || {});
  columns.forEach((column, i) => { // money of a column has as many decimals everywhere
    if (column.kind === "money" && column.digits === null) { column.digits = values[i].some(value => Math.abs(value) >= 1) || !values[i].some(value => value) ? 2 : 4; }
  });
  const state = { ident, columns, values, count, order: Array.from({ length: count }, (_, i) => i), shown: [], sorted: null, down: false, at: 0, words: "", picked: -1 };
  lockstep.tables[ident] = state;

  function conditions(text) {
    const tests = [], names = columns.map(column => column.name.toLowerCase()), keys = columns.map(column => (column.key || "").toLowerCase());
    for (const word of text.toLowerCase().match(/[^\s"]*"[^"]*"|\S+/g) || []) {
      const match = /^"?([^<>=:"]+)"?(<=|>=|<|>|=|:)(.+)$/.exec(word);
      let which = match ? names.indexOf(match[1]) : -1;
      if (match && which < 0) { which = keys.indexOf(match[1]); }
      if (match && which < 0) { which = names.findIndex(name => name.replace(/\s+/g, "") === match[1] || name.startsWith(match[1])); }
      if (which < 0) {
        const wanted = word.replace(/"/g, "");
        tests.push(row => texts(row).includes(wanted));
        continue;
      }
      const column = columns[which], wanted = match[3].replace(/"/g, ""), sign = match[2];
      const bound = column.kind === "instant" ? Date.parse(wanted.length <= 10 ? wanted + "T00:00Z" : wanted + "Z") : Number(wanted);
      if (isText(column) || sign === ":") {
        tests.push(row => {
          const own = lockstep.format.value(values[which][row], column).toLowerCase();
          return sign === "=" ? own === wanted : own.includes(wanted);
        });
      } else {
        const compare = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b }[sign];
        tests.push(row => !missing(values[which][row]) && compare(values[which][row], bound));
      }
    }
    return tests;
  }
  let cache = null;
  function texts(row) {
    cache = cache || new Array(count);
    if (cache[row] === undefined) {
      cache[row] = columns.map((column, i) => lockstep.format.value(values[i][row], column)).join("\u0001").toLowerCase();
    }
    return cache[row];
  }
  function select() {
    const tests = conditions(state.words);
    state.shown = tests.length ? state.order.filter(row => tests.every(test => test(row))) : state.order;
    state.at = 0;
    show();
  }
  function sort(which, down) {
    const column = values[which], text = isText(columns[which]), way = down ? -1 : 1;
    const plainText = which => columns[which].kind === "html" ? value => value.replace(/<[^>]*>/g, "") : value => value;
    const of = plainText(which);
    state.order = Array.from({ length: count }, (_, i) => i).sort((a, b) => {
      const left = column[a], right = column[b];
      if (missing(left) || missing(right)) { return missing(left) - missing(right) || a - b; }
      const order = text ? (of(left) < of(right) ? -1 : of(left) > of(right) ? 1 : 0) : left - right;
      return order * way || a - b;
    });
    state.sorted = which;
    state.down = down;
    select();
  }

  const tools = element("div", { className: "tools" });
  // Examples of conditions are those of this table: the first figure that is good or bad, and the first plain word.
  const called = column => column.name.toLowerCase().replace(/\s+/g, "");
  const counts = columns.filter(column => ["number", "money", "percent"].includes(column.kind) && /[a-z]/i.test(column.name));
  const compared = counts.find(column => column.tone) || counts[0];
  const worded = columns.findIndex((column, i) => column.kind === "text" && count && /^[\w.-]{1,16}$/.test(values[i][0]));
  const examples = [compared ? called(compared) + ">0" : "", worded >= 0 ? called(columns[worded]) + ":" + values[worded][0] : ""].filter(text => text);
  const field = element("input", { type: "search", placeholder: ["Filter: words", ...examples].join(", or "), spellcheck: false });
  field.setAttribute("aria-label", "Filter rows");
  field.addEventListener("input", () => { state.words = field.value; select(); });
  const total = element("span", { className: "dim" });
  tools.append(field, total);
  const scroll = element("div", { className: "scroll" }), grid = element("table"), head = element("thead"), body = element("tbody");
  const heads = element("tr");
  columns.forEach((column, i) => {
    const cell = element("th", { className: "sorts" + (left(column) ? " t" : "") });
    cell.tabIndex = 0;
    if (column.meaning) { cell.dataset.meaning = column.meaning; }
    cell.append(column.name, element("span", { className: "way" }));
    const press = () => sort(i, state.sorted === i ? !state.down : !isText(column) && column.kind !== "instant");
    cell.addEventListener("click", press);
    cell.addEventListener("keydown", event => { if (event.key === "Enter") { press(); } });
    heads.append(cell);
  });
  head.append(heads);
  grid.append(head, body);
  scroll.append(grid);
  const pages = element("div", { className: "pages" }), words = element("span");
  const step = (text, by) => {
    const button = element("button", { type: "button", textContent: text });
    button.addEventListener("click", () => { state.at = by(state.at); show(); });
    return button;
  };
  const last = () => Math.max(0, Math.ceil(state.shown.length / table.page) - 1);
  const first = step("First", () => 0), back = step("Back", at => at - 1), on = step("Next", at => at + 1), end = step("Last", () => last());
  pages.append(first, back, words, on, end);

  function show() {
    const from = state.at * table.page, rows = state.shown.slice(from, from + table.page);
    body.replaceChildren(...rows.map(row => {
      const line = element("tr");
      line.dataset.row = row;
      if (state.pick) { line.className = row === state.picked ? "pick picked" : "pick"; }
      columns.forEach((column, i) => {
        const value = values[i][row], cell = element("td");
        if (column.kind === "html") { cell.innerHTML = value; } else { cell.textContent = lockstep.format.value(value, column); }
        if (left(column)) { cell.classList.add("t"); }
        if (column.wide) { cell.classList.add("wide"); }
        if (column.tone && !missing(value) && value !== 0) { cell.classList.add(value > 0 ? "good" : "bad"); }
        line.append(cell);
      });
      return line;
    }));
    if (!rows.length) { body.innerHTML = '<tr><td class="none" colspan="' + columns.length + '">Nothing to show.</td></tr>'; }
    [...heads.children].forEach((cell, i) => {
      cell.lastChild.textContent = state.sorted === i ? (state.down ? "▾" : "▴") : "";
      cell.setAttribute("aria-sort", state.sorted === i ? (state.down ? "descending" : "ascending") : "none");
    });
    const number = value => value.toLocaleString("en-US");
    words.textContent = state.shown.length ? number(from + 1) + " to " + number(from + rows.length) + " of " + number(state.shown.length) : "none";
    total.textContent = state.shown.length === count ? number(count) + (count === 1 ? " row" : " rows") : number(state.shown.length) + " of " + number(count) + " rows";
    first.disabled = back.disabled = state.at === 0;
    on.disabled = end.disabled = state.at >= last();
    scroll.scrollTop = 0;
  }
  body.addEventListener("click", event => {
    const line = event.target.closest("tr[data-row]");
    if (line && state.pick) {
      state.picked = Number(line.dataset.row);
      body.querySelectorAll("tr.picked").forEach(one => one.classList.remove("picked"));
      line.classList.add("picked");
      state.pick(state.picked);
    }
  });
  Object.assign(state, { sort, show, select: text => { field.value = state.words = text; select(); }, pick: state.pick || null });
  place.replaceChildren(...(table.filters ? [tools] : []), scroll, ...(count > table.page ? [pages] : []));
  state.shown = state.order;
  show();
};
