"use strict";
// The page's start: what is seen first is drawn first. `opened` is fulfilled when that has been done, `ready` when all has.
lockstep.hints();
lockstep.contents();
lockstep.opened = lockstep.drawNear()
  .then(() => Promise.all(Object.keys(lockstep.data.tables).map(ident => lockstep.showTable(ident))))
  .then(() => Promise.all(lockstep.works.map(work => work())))
  .then(() => { lockstep.openedAt = performance.now(); });
// A table that does not fit beside another one gets the whole width; what is still wider shows at which edge it goes on.
lockstep.fit = function () {
  const wide = () => [...document.querySelectorAll(".pair .scroll")].filter(one => one.scrollWidth > one.clientWidth + 1);
  document.querySelectorAll(".pair.stacked").forEach(one => one.classList.remove("stacked"));
  const crowded = new Set(wide().map(one => one.closest(".pair")));
  crowded.forEach(one => { if (one.children.length > 1 && !one.querySelector(".chart")) { one.classList.add("stacked"); } });
  document.querySelectorAll(".scroll").forEach(lockstep.edges);
};
lockstep.edges = function (one) {
  one.classList.toggle("more-left", one.scrollLeft > 1);
  one.classList.toggle("more-right", one.scrollLeft + one.clientWidth < one.scrollWidth - 1);
};
lockstep.opened.then(() => {
  lockstep.fit();
  document.addEventListener("scroll", event => { if (event.target.classList?.contains("scroll")) { lockstep.edges(event.target); } }, true);
  window.addEventListener("resize", lockstep.fit);
}, () => { });
lockstep.ready = lockstep.opened.then(() => lockstep.drawRest()).then(() => true);
