"use strict";
// The page's start: what is seen first is drawn first. `opened` is fulfilled when that has been done, `ready` when all has.
lockstep.hints();
lockstep.contents();
lockstep.opened = lockstep.drawNear()
  .then(() => Promise.all(Object.keys(lockstep.data.tables).map(ident => lockstep.showTable(ident))))
  .then(() => Promise.all(lockstep.works.map(work => work())))
  .then(() => { lockstep.openedAt = performance.now(); });
lockstep.ready = lockstep.opened.then(() => lockstep.drawRest()).then(() => true);
