"use strict";
// The surroundings of one of a run's longest turns: a lane for each thread, a bar for each span, what contains below what
// it contains. `lockstep.turn` has `shown`, the number of the turn, and `choose` another one.
lockstep.turn = { shown: 0, choose: null };
lockstep.works.push(async function () {
  const about = lockstep.values.turns, place = document.getElementById("turn"), select = document.getElementById("turn-choice");
  if (!about || !place) { return; }
  const kinds = {
    wait: ["waiting", "dim@0.15", 0.25], barrier: ["waiting for its turn", "dim@0.15", 0.25], step: ["market step", "series-3@0.6", 0.7],
    turn: ["turn", "accent@0.35", 0.8], strategy: ["strategy", "good@0.8", 0.55], broker: ["broker", "series-1@0.9", 0.35], lock: ["lock", "bad@0.9", 0.35]
  };
  const escape = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const lanes = about.threads.map(escape);
  function draw() {
    const one = about.turns[lockstep.turn.shown], unit = one.seconds < 0.01 ? ["µs", 1] : ["ms", 1e-3];
    const traces = Object.entries(kinds).map(([kind, [name, colour, width]]) => {
      const own = one.spans.filter(span => span[1] === kind);
      return { type: "bar", orientation: "h", name, width, base: own.map(span => span[3] * unit[1]), x: own.map(span => (span[4] - span[3]) * unit[1]),
        y: own.map(span => lanes[span[0]]), text: own.map(span => escape(span[2])), textposition: "none", marker: { color: colour, line: { width: 0 } },
        hovertemplate: "%{y}<br><b>%{text}</b>: %{x:,.1f} " + unit[0] + "<extra>" + name + "</extra>" };
    }).filter(trace => trace.x.length);
    const used = new Set(one.spans.map(span => lanes[span[0]]));
    return lockstep.plot(place, traces, {
      barmode: "overlay", hovermode: "closest", height: Math.max(180, 90 + 30 * used.size),
      xaxis: { title: { text: unit[0] + " after the begin of the turn" } },
      yaxis: { type: "category", categoryorder: "array", categoryarray: lanes.filter(lane => used.has(lane)).reverse(), automargin: true, fixedrange: true },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }
    });
  }
  lockstep.turn.choose = number => { lockstep.turn.shown = number; select.value = String(number); return draw(); };
  select.addEventListener("change", () => lockstep.turn.choose(Number(select.value)));
  lockstep.redraws.push(draw);
  await draw();
});
