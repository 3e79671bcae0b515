"use strict";
// Candles with entries, exits, stops and targets. The bars of a symbol are whole numbers of its smallest step; what the
// window shows is made of them anew at each zoom: at most so many candles, each of as many bars as that needs.
const candles = lockstep.candles = (function () {
  const mostCandles = 1000, mostDetailed = 200, mostMarked = 400;
  const place = document.getElementById("candles"), about = lockstep.values.prices;
  const state = { symbol: 0, from: 0, to: 0, shown: 0, bars: 0, perCandle: 1, marked: 0 };
  const loaded = new Map();
  let trades = null, protections = null, busy = false, timer = 0, current = -1;

  async function bars(which) {
    if (!loaded.has(which)) { loaded.set(which, unpacked(await lockstep.unpack("bars-" + which), about[which])); }
    return loaded.get(which);
  }
  function unpacked(columns, one) {
    const n = one.count, unit = Math.pow(10, one.decimals);
    const open = new Float64Array(n), high = new Float64Array(n), low = new Float64Array(n), close = new Float64Array(n);
    let last = 0;
    for (let i = 0; i < n; i++) {
      const o = last + columns.gap[i], c = o + columns.move[i];
      open[i] = o / unit;
      close[i] = c / unit;
      high[i] = (Math.max(o, c) + columns.up[i]) / unit;
      low[i] = (Math.min(o, c) - columns.down[i]) / unit;
      last = c;
    }
    const length = one.bar_ns / 1e6 * one.merged;
    return { at: columns.at, open, high, low, close, length, from: columns.at[0], to: columns.at[n - 1] + length };
  }
  function firstAt(at, value) { // the first place whose instant is not before the value
    let low = 0, high = at.length;
    while (low < high) { const middle = (low + high) >> 1; if (at[middle] < value) { low = middle + 1; } else { high = middle; } }
    return low;
  }
  function readTrades() {
    const table = lockstep.tables.trades, column = name => table.values[table.columns.findIndex(one => one.name === name)];
    const bySymbol = new Map(about.map(one => [one.symbol, []]));
    if (table) {
      trades = { symbol: column("Symbol"), side: column("Side"), book: column("Strategy"), entry: column("Entry"), exit: column("Exit"), closedBy: column("Closed by"), volume: column("Volume"),
        entryPrice: column("Entry price"), exitPrice: column("Exit price"), stop: column("First stop"), net: column("Net"), r: column("R"), reason: column("Reason") };
      for (let i = 0; i < table.count; i++) { const list = bySymbol.get(trades.symbol[i]); if (list) { list.push(i); } }
      bySymbol.forEach(list => list.sort((a, b) => trades.entry[a] - trades.entry[b]));
    }
    state.bySymbol = bySymbol;
  }
  async function readProtections() {
    const columns = await lockstep.unpack("protections");
    protections = new Map();
    for (let i = 0; i < columns.trade.length; i++) {
      if (!protections.has(columns.trade[i])) { protections.set(columns.trade[i], []); }
      protections.get(columns.trade[i]).push([columns.at[i], columns.stop[i], columns.target[i]]);
    }
  }
  const duration = ms => {
    const minutes = Math.round(ms / 60000);
    if (minutes < 1) { return Math.round(ms / 1000) + " s"; }
    if (minutes < 60) { return minutes + " min"; }
    if (minutes < 2880) { return +(minutes / 60).toFixed(1) + " h"; }
    return +(minutes / 1440).toFixed(1) + " d";
  };
  const escape = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const eight = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 8 });
  const price = value => eight.format(value);

  function candleTrace(of, i0, i1, per) {
    const count = Math.ceil((i1 - i0) / per);
    const x = new Array(count), open = new Array(count), high = new Array(count), low = new Array(count), close = new Array(count);
    for (let k = 0, i = i0; k < count; k++, i += per) {
      const end = Math.min(i + per, i1);
      let h = of.high[i], l = of.low[i];
      for (let j = i + 1; j < end; j++) { if (of.high[j] > h) { h = of.high[j]; } if (of.low[j] < l) { l = of.low[j]; } }
      x[k] = of.at[i]; open[k] = of.open[i]; high[k] = h; low[k] = l; close[k] = of.close[end - 1];
    }
    return { type: "candlestick", x, open, high, low, close, name: "Price", showlegend: false, whiskerwidth: 0,
      increasing: { line: { color: "good", width: 1 }, fillcolor: "good@0.65" }, decreasing: { line: { color: "bad", width: 1 }, fillcolor: "bad@0.65" } };
  }
  function tradeTraces(of, unit) {
    const list = trades ? state.bySymbol.get(about[state.symbol].symbol) : [];
    let inside = list.filter(i => trades.exit[i] >= state.from && trades.entry[i] <= state.to);
    const all = inside.length, detailed = all <= mostDetailed;
    if (all > mostMarked) { inside = Array.from({ length: mostMarked }, (_, k) => inside[Math.floor(k * all / mostMarked)]); }
    const marks = (name, symbol, colour) => ({ type: "scatter", mode: "markers", name, x: [], y: [], text: [], hovertemplate: "%{text}<extra></extra>",
      marker: { symbol, color: colour, size: all > mostMarked ? 5 : all > 120 ? 6 : all > 40 ? 8 : 11, line: { color: "card", width: detailed ? 1.2 : 0.5 } } });
    const sets = { long: marks("Long entry", "triangle-up", "accent"), short: marks("Short entry", "triangle-down", "series-1"),
      won: marks("Exit, won", "circle", "good"), lost: marks("Exit, lost", "x", "bad") };
    const line = (name, colour, dash) => ({ type: "scatter", mode: "lines", name, x: [], y: [], hoverinfo: "skip", showlegend: false, connectgaps: false, line: { color: colour, width: 1.2, dash } });
    const ways = line("Trades", "accent@0.7", "dot"), stops = line("Stops", "bad", "solid"), targets = line("Targets", "good", "solid");
    const add = (set, x, y, text) => { set.x.push(x); set.y.push(y); set.text.push(text); };
    for (const i of inside) {
      const r = trades.r[i], net = lockstep.format.fixed(trades.net[i], 2);
      const head = "<b>#" + (i + 1) + " " + (trades.side[i] === "buy" ? "Long" : "Short") + "</b> " + price(trades.volume[i]) + " · " + escape(trades.book[i]);
      add(trades.side[i] === "buy" ? sets.long : sets.short, trades.entry[i], trades.entryPrice[i],
        head + "<br>entry " + price(trades.entryPrice[i]) + " · " + lockstep.format.instant(trades.entry[i]) + (trades.reason[i] ? "<br>" + escape(trades.reason[i]) : ""));
      add(trades.net[i] > 0 ? sets.won : sets.lost, trades.exit[i], trades.exitPrice[i],
        head + "<br>exit " + price(trades.exitPrice[i]) + " · " + lockstep.format.instant(trades.exit[i]) + "<br>" + escape(trades.closedBy[i]) +
        "<br>net " + net + (r === null || Number.isNaN(r) ? "" : " · " + lockstep.format.fixed(r, 2) + " R"));
      if (!detailed) { continue; }
      ways.x.push(trades.entry[i], trades.exit[i], null);
      ways.y.push(trades.entryPrice[i], trades.exitPrice[i], null);
      const moves = protections.get(i) || [];
      [[stops, 1], [targets, 2]].forEach(([trace, which]) => {
        moves.forEach((move, k) => {
          const until = k + 1 < moves.length ? moves[k + 1][0] : trades.exit[i];
          if (move[which]) { trace.x.push(Math.max(move[0], trades.entry[i]), until); trace.y.push(move[which] / unit, move[which] / unit); }
          if (!move[which] || k + 1 === moves.length) { trace.x.push(null); trace.y.push(null); }
        });
      });
    }
    for (const [symbol, side, at, entry, volume, reason] of lockstep.values.open_positions) {
      if (symbol === about[state.symbol].symbol && at <= state.to) {
        add(side === "buy" ? sets.long : sets.short, at, entry, "<b>still open</b> " + price(volume) + "<br>entry " + price(entry) + (reason ? "<br>" + escape(reason) : ""));
      }
    }
    state.inside = all;
    state.marked = inside.length;
    return [ways, stops, targets, ...Object.values(sets).filter(set => set.x.length)];
  }
  async function draw() {
    busy = true;
    const of = await bars(state.symbol), one = about[state.symbol];
    if (!(state.to > state.from)) { state.from = of.from; state.to = of.to; }
    const first = Math.max(0, firstAt(of.at, state.from - of.length)), last = firstAt(of.at, state.to);
    const per = Math.max(1, Math.ceil((last - first) / mostCandles));
    const i0 = Math.floor(first / per) * per; // the same bars make the same candle wherever the window begins
    const candle = candleTrace(of, i0, last, per);
    Object.assign(state, { bars: last - first, perCandle: per, shown: candle.x.length });
    let high = Math.max(...candle.high), low = Math.min(...candle.low);
    if (!candle.x.length) { high = 1; low = 0; }
    const extras = tradeTraces(of, Math.pow(10, one.decimals));
    extras.slice(3).forEach(set => set.y.forEach(value => { high = Math.max(high, value); low = Math.min(low, value); }));
    if (state.inside <= 8) { // few trades: their stops and targets are in sight, as far as they do not press the prices flat
      const most = (high - low) * 0.8, top = high, bottom = low;
      extras.slice(1, 3).forEach(set => set.y.forEach(value => {
        if (value !== null && value <= top + most && value >= bottom - most) { high = Math.max(high, value); low = Math.min(low, value); }
      }));
    }
    const room = (high - low) * 0.05 || Math.abs(high) * 0.001 || 1;
    await lockstep.plot(place, [candle, ...extras], {
      height: 480, dragmode: "zoom", hovermode: "closest", uirevision: String(state.symbol), margin: { l: 64, r: 14, t: 10, b: 30 },
      xaxis: { type: "date", range: [state.from, state.to], rangeslider: { visible: false }, autorange: false },
      yaxis: { range: [low - room, high + room], fixedrange: true, tickformat: ",." + Math.min(one.decimals, 6) + "~f" },
      legend: { orientation: "h", x: 0, y: 1.0, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" }
    });
    const whole = duration(one.bar_ns / 1e6 * one.merged * per), number = value => value.toLocaleString("en-US");
    const counted = (value, word) => number(value) + " " + word + (value === 1 ? "" : "s");
    document.getElementById("candle-note").textContent = counted(state.bars, "bar") + " as " + counted(state.shown, "candle") + (per > 1 ? " of " + whole + ", " + per + " bars each" : ", each bar its own") +
      "; " + counted(state.inside, "trade") + (state.marked < state.inside ? ", of which " + number(state.marked) + " are marked" : "") + (state.inside > mostDetailed ? "; zoom in for stops and targets" : "") + ".";
    busy = false;
  }
  function show(from, to) {
    const of = loaded.get(state.symbol);
    const least = of.length * 12, middle = (from + to) / 2;
    if (to - from < least) { from = middle - least / 2; to = middle + least / 2; }
    state.from = Math.max(from, of.from - of.length * 4);
    state.to = Math.min(to, of.to + of.length * 4);
    document.querySelectorAll("#candle-tools [data-days]").forEach(button => button.classList.toggle("on",
      Number(button.dataset.days) === 0 ? state.to - state.from >= (of.to - of.from) : Math.abs((state.to - state.from) / 86400000 / button.dataset.days - 1) < 0.02));
    return draw();
  }
  const showAll = () => { const of = loaded.get(state.symbol); return show(of.from, of.to); };
  async function choose(which) {
    const of = await bars(which);
    state.symbol = which;
    document.getElementById("symbol").value = String(which);
    current = -1;
    return show(of.from, of.to);
  }
  async function trade(i) { // zoom to one trade
    const which = about.findIndex(one => one.symbol === trades.symbol[i]);
    if (which < 0) { return; }
    const of = await bars(which);
    state.symbol = which;
    document.getElementById("symbol").value = String(which);
    current = state.bySymbol.get(trades.symbol[i]).indexOf(i);
    const length = Math.max(trades.exit[i] - trades.entry[i], of.length * 30);
    await show(trades.entry[i] - length * 0.7, trades.exit[i] + length * 0.7);
  }
  const milliseconds = value => typeof value === "number" ? value : Date.parse(String(value).replace(" ", "T").replace(/(T\d\d:\d\d)$/, "$1:00").replace(/^(\d{4}-\d\d-\d\d)$/, "$1T00:00:00") + "Z");
  function listen() {
    place.on("plotly_relayout", change => {
      if (busy) { return; }
      clearTimeout(timer);
      if (change["xaxis.autorange"] || change.autosize === undefined && change["xaxis.showspikes"] !== undefined) { timer = setTimeout(showAll, 30); return; }
      const range = change["xaxis.range"] || (change["xaxis.range[0]"] !== undefined ? [change["xaxis.range[0]"], change["xaxis.range[1]"]] : null);
      if (range) { timer = setTimeout(() => show(milliseconds(range[0]), milliseconds(range[1])), 40); }
    });
    place.addEventListener("wheel", event => {
      const area = place.querySelector(".nsewdrag");
      if (!area || !(event.ctrlKey || event.metaKey || event.shiftKey)) { return; } // the wheel alone moves the page
      const box = area.getBoundingClientRect();
      if (event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom) { return; }
      event.preventDefault();
      const share = (event.clientX - box.left) / box.width, size = state.to - state.from, at = state.from + size * share;
      const next = size * Math.pow(1.0015, Math.max(-300, Math.min(300, event.deltaY || event.deltaX)));
      state.from = at - next * share;
      state.to = at + next * (1 - share);
      clearTimeout(timer);
      timer = setTimeout(() => show(state.from, state.to), 25);
    }, { passive: false });
    document.getElementById("symbol").addEventListener("change", event => choose(Number(event.target.value)));
    document.querySelectorAll("#candle-tools [data-days]").forEach(button => button.addEventListener("click", () => {
      const days = Number(button.dataset.days), of = loaded.get(state.symbol);
      if (!days) { showAll(); return; }
      const middle = Math.min(Math.max((state.from + state.to) / 2, of.from + days * 43200000), of.to - days * 43200000);
      show(Math.max(of.from, middle - days * 43200000), Math.min(of.to, middle + days * 43200000));
    }));
    const step = by => {
      const list = trades ? state.bySymbol.get(about[state.symbol].symbol) : [];
      if (!list.length) { return; }
      if (current < 0) { current = by > 0 ? list.findIndex(i => trades.entry[i] >= state.from) - 1 : list.length; }
      trade(list[Math.max(0, Math.min(list.length - 1, current + by))]);
    };
    document.getElementById("trade-back").addEventListener("click", () => step(-1));
    document.getElementById("trade-on").addEventListener("click", () => step(1));
  }
  async function start() {
    readTrades();
    if (trades) {
      lockstep.tables.trades.pick = i => { trade(i); document.getElementById("prices-section").scrollIntoView({ behavior: "smooth" }); };
      lockstep.tables.trades.show();
    }
    await readProtections();
    await choose(0);
    listen();
    lockstep.redraws.push(draw);
  }
  lockstep.works.push(start);
  return { state, show, showAll, choose, trade, bars };
})();
