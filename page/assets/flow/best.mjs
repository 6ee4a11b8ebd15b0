// The best bid and ask of a ring's columns, over the heatmap.

/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./types").Ring} Ring */
/** @typedef {import("./types").Scene} Scene */

/**
 * Paint the best bid and ask of a ring up to a time, as steps with a dark edge.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {Ring} ring
 * @param {number} end
 * @param {[string, string]} colours
 */
export const paintBest = (context, scene, ring, end, colours) => {
  const panel = /** @type {Panel} */ (scene.heat);
  const { x } = scene;
  const pixel = x.width / (x.high - x.low);
  const scale = panel.height / (panel.high - panel.low);
  const from = Math.max(0, Math.floor(x.low / ring.columnMs) - ring.first);
  const to = Math.min(ring.count, Math.ceil(Math.min(end, x.high) / ring.columnMs) - ring.first);
  context.save();
  context.beginPath();
  context.rect(x.left, panel.top, x.width, panel.height);
  context.clip();
  for (const [side, colour] of colours.entries()) {
    const path = new Path2D();
    let drawing = false;
    const prices = side ? ring.ask : ring.bid;
    for (let column = from; column < to; column++) {
      const price = prices[column];
      if (Number.isNaN(price)) {
        drawing = false;
        continue;
      }
      const left = x.left + ((ring.first + column) * ring.columnMs - x.low) * pixel;
      const y = panel.top + (panel.high - price) * scale;
      if (drawing) path.lineTo(left, y);
      else path.moveTo(left, y);
      path.lineTo(left + ring.columnMs * pixel, y);
      drawing = true;
    }
    context.lineJoin = "round";
    context.strokeStyle = "rgba(5,8,12,0.75)";
    context.lineWidth = 3;
    context.stroke(path);
    context.strokeStyle = colour;
    context.lineWidth = 1.2;
    context.stroke(path);
  }
  context.restore();
};
