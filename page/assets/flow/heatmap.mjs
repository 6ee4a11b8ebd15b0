// Resting liquidity: each tile of 64 columns is one small picture, painted again only when its cells
// or the contrast have changed; a draw copies the pictures that are in view.

import { GROUND, palette, sizeOf } from "./colours.mjs";
import { nice } from "./numbers.mjs";

/** @typedef {import("./types").Ring} Ring */
/** @typedef {import("./types").Tile} Tile */
/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Panel} Panel */
/** @typedef {import("./types").Range} Range */

export const TILE_COLUMNS = 64;
const MAGNITUDE = 0x7fff;
const ASK = 0x8000;

/**
 * Return the ring whose columns are drawn: the chosen one, or the finest whose columns are at least
 * a pixel wide and reach back over the whole of the time in view, so that it looks the same all over.
 * @param {Ring[]} rings finest first
 * @param {{low: number, high: number, width: number}} x
 * @param {number} chosen ms, 0 for auto
 */
export const ringFor = (rings, x, chosen) => {
  const found = rings.find((ring) => ring.columnMs === chosen);
  if (found) return found;
  const pixel = (x.high - x.low) / Math.max(1, x.width);
  const fitting = rings.filter((ring) => ring.columnMs >= pixel * 0.999);
  const oldest = Math.min(...rings.map((ring) => ring.first * ring.columnMs + ring.columnMs));
  const from = Math.max(x.low, oldest);
  const last = fitting[fitting.length - 1] ?? rings[rings.length - 1];
  return fitting.find((ring) => ring.first * ring.columnMs <= from) ?? last;
};

/**
 * Call `paint` for the rings that reach further back than the finer ones, coarsest first, with the
 * time from which on the next finer one is painted over it.
 * @param {Ring[]} rings finest first
 * @param {number} low start of the time in view
 * @param {(ring: Ring, end: number) => void} paint
 */
export const eachRing = (rings, low, paint) => {
  /** @type {[Ring, number][]} */
  const found = [];
  let end = Infinity;
  for (const ring of rings) {
    const oldest = ring.first * ring.columnMs;
    // Columns of a coarser one begin earlier though nothing was recorded then.
    if (oldest + (found.length ? ring.columnMs : 0) >= end) continue;
    found.push([ring, end]);
    end = oldest;
    if (end <= low) break;
  }
  for (const [ring, until] of found.reverse()) paint(ring, until);
};

/**
 * Cut a ring into tiles: at every 64th column, and where the rows change. `changed` is the number of
 * the first column that is new; tiles before it keep their keys, and so their pictures.
 * @param {Ring} ring
 * @param {number} changed
 * @param {number} version
 */
export const cutTiles = (ring, changed, version) => {
  const kept = new Map(ring.tiles.map((tile) => [`${tile.first}:${tile.columns}`, tile.key]));
  ring.tiles = [];
  let start = 0;
  for (let column = 1; column <= ring.count; column++) {
    const same = column < ring.count && ring.low[column] === ring.low[start] && ring.row[column] === ring.row[start];
    if (same && (ring.first + column) % TILE_COLUMNS) continue;
    const [first, columns, rowPrice] = [ring.first + start, column - start, ring.row[start]];
    const old = first + columns <= changed ? kept.get(`${first}:${columns}`) : undefined;
    ring.tiles.push({
      key: old ?? `${first}:${columns}:${version}`,
      first,
      columns,
      rows: ring.rows,
      base: Math.round(ring.low[start] / rowPrice),
      rowPrice,
      cells: ring.cells.subarray(start * ring.rows, column * ring.rows),
    });
    start = column;
  }
};

/**
 * Return the tiles of a ring that touch a time, in order.
 * @param {Ring} ring
 * @param {number} low
 * @param {number} high
 */
export const tilesIn = (ring, low, high) =>
  ring.tiles.filter(
    ({ first, columns }) => (first + columns) * ring.columnMs > low && first * ring.columnMs < high,
  );

/**
 * Return whether the rows of a tile reach over all prices in view.
 * @param {Tile} tile
 * @param {Panel} panel
 */
const covers = ({ base, rows, rowPrice }, panel) =>
  base * rowPrice <= panel.low && (base + rows) * rowPrice >= panel.high;

/**
 * Return whether there are prices in view that the rows of a ring do not reach.
 * @param {Ring} ring
 * @param {{low: number, high: number}} x
 * @param {Panel} panel
 */
export const hasHoles = (ring, x, panel) => tilesIn(ring, x.low, x.high).some((tile) => !covers(tile, panel));

/**
 * Return the place in a ring of the column that a moment lies in, -1 without one.
 * @param {Ring} ring
 * @param {number} time
 */
export const columnAt = (ring, time) => {
  const column = Math.floor(time / ring.columnMs) - ring.first;
  return column >= 0 && column < ring.count ? column : -1;
};

/**
 * Return the levels of a column as a book, best first; a price is the lower edge of its row.
 * @param {Ring} ring
 * @param {number} column
 */
export const bookOf = (ring, column) => {
  /** @type {import("./types").Level[][]} */
  const sides = [[], []];
  const [low, size] = [ring.low[column], ring.row[column]];
  for (let row = 0; row < ring.rows; row++) {
    const cell = ring.cells[column * ring.rows + row];
    if (!cell) continue;
    const side = cell & ASK ? 1 : 0;
    sides[side].push({ price: low + row * size, size: sizeOf(cell & MAGNITUDE) * ring.factor });
  }
  return { bids: sides[0].reverse(), asks: sides[1] };
};

/**
 * Return the sizes at the percentiles of the cells in view, null where there are none.
 *
 * Every third column is counted: percentiles of 100,000 cells need no more.
 * @param {Ring} ring
 * @param {Scene["x"]} x
 * @param {Panel} panel
 * @param {Range} percentiles
 * @returns {Range | null}
 */
export const contrastOf = (ring, x, panel, percentiles) => {
  const counts = new Uint32Array(0x8000);
  let total = 0;
  for (const tile of tilesIn(ring, x.low, x.high)) {
    const low = Math.max(0, Math.floor(panel.low / tile.rowPrice) - tile.base);
    const high = Math.min(tile.rows, Math.ceil(panel.high / tile.rowPrice) - tile.base);
    for (let column = 0; column < tile.columns; column += 3) {
      const time = (tile.first + column) * ring.columnMs;
      if (time < x.low || time > x.high) continue;
      const start = column * tile.rows;
      for (let row = low; row < high; row++) {
        const magnitude = tile.cells[start + row] & MAGNITUDE;
        if (magnitude) (counts[magnitude]++, total++);
      }
    }
  }
  if (!total) return null;
  const [low, high] = percentiles.map((percent) => quantile(counts, (total * percent) / 100));
  return [low, Math.max(high, low * 1.01)];
};

/**
 * @param {Uint32Array} counts
 * @param {number} wanted
 */
const quantile = (counts, wanted) => {
  let [magnitude, seen] = [0, counts[0]];
  while (seen < wanted && magnitude < counts.length - 1) seen += counts[++magnitude];
  return sizeOf(magnitude);
};

/**
 * Let only what is above and below the rows of a tile be painted.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {number} from
 * @param {number} to
 * @param {Tile} tile
 */
const clipAround = (context, scene, from, to, { base, rows, rowPrice }) => {
  const panel = /** @type {Panel} */ (scene.heat);
  const { x } = scene;
  const across = (/** @type {number} */ time) => x.left + ((time - x.low) / (x.high - x.low)) * x.width;
  const down = (/** @type {number} */ price) =>
    panel.top + ((panel.high - price) / (panel.high - panel.low)) * panel.height;
  const [left, width] = [across(from), across(to) - across(from)];
  const top = Math.max(panel.top, down((base + rows) * rowPrice));
  const bottom = Math.min(panel.top + panel.height, down(base * rowPrice));
  context.beginPath();
  context.rect(left, panel.top, width, Math.max(0, top - panel.top));
  context.rect(left, bottom, width, Math.max(0, panel.top + panel.height - bottom));
  context.clip();
};

/** The pictures of the tiles, kept between draws. */
export class Heatmap {
  constructor() {
    /** @type {Map<string, {canvas: HTMLCanvasElement, key: string, first: number}>} */
    this.pictures = new Map();
    /** @type {Map<number, {range: Range, table: Uint32Array, name: number}>} */
    this.contrasts = new Map();
    this.names = 0;
  }

  /**
   * Fit the contrast to what is in view. A little off it stays: a pan would repaint every tile.
   * @param {Ring[]} rings
   * @param {Scene["x"]} x
   * @param {Panel} panel
   * @param {Range} percentiles
   */
  fit(rings, x, panel, percentiles, exactly = false) {
    const names = this.names;
    for (const ring of rings) {
      const range = contrastOf(ring, x, panel, percentiles);
      if (!range) continue;
      const before = this.contrasts.get(ring.columnMs)?.range;
      const near = before?.every((size, end) => Math.abs(Math.log(size / range[end])) < 0.15);
      if (near && !exactly) continue;
      if (before?.join() === range.join()) continue;
      this.contrasts.set(ring.columnMs, { range, table: palette(...range), name: ++this.names });
    }
    return this.names > names;
  }

  /** @param {number} columnMs */
  range(columnMs) {
    return this.contrasts.get(columnMs)?.range ?? null;
  }

  /**
   * Paint a ring, and coarser ones before its oldest column, where they reach further back.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Ring[]} rings the ring to paint and the coarser ones
   * @param {number} rowPrice least price of a row, 0 for as fine as can be seen
   */
  paint(context, scene, rings, rowPrice) {
    const panel = /** @type {Panel} */ (scene.heat);
    context.save();
    context.beginPath();
    context.rect(scene.x.left, panel.top, scene.x.width, panel.height);
    context.clip();
    context.fillStyle = GROUND;
    context.fillRect(scene.x.left, panel.top, scene.x.width, panel.height);
    context.imageSmoothingEnabled = false;
    const seen = new Set();
    eachRing(rings, scene.x.low, (ring, end) => {
      for (const tile of tilesIn(ring, scene.x.low, Math.min(end, scene.x.high))) {
        this.paintTile(context, scene, rings.slice(rings.indexOf(ring)), tile, rowPrice, end, seen);
      }
    });
    context.restore();
    for (const key of this.pictures.keys()) if (!seen.has(key)) this.pictures.delete(key);
  }

  /**
   * Paint a tile of the first of `rings`, and above and below its rows what the coarser ones know,
   * which have more of them.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Ring[]} rings
   * @param {Tile} tile
   * @param {number} rowPrice
   * @param {number} end time from which on a finer ring was painted
   * @param {Set<string>} seen
   */
  paintTile(context, scene, rings, tile, rowPrice, end, seen) {
    const panel = /** @type {Panel} */ (scene.heat);
    const [ring, ...coarser] = rings;
    const [from, to] = [tile.first * ring.columnMs, Math.min(end, (tile.first + tile.columns) * ring.columnMs)];
    if (coarser.length && !covers(tile, panel)) {
      context.save();
      clipAround(context, scene, from, to, tile);
      for (const other of tilesIn(coarser[0], Math.max(from, scene.x.low), Math.min(to, scene.x.high))) {
        this.paintTile(context, scene, coarser, other, rowPrice, Infinity, seen);
      }
      context.restore();
    }
    this.copy(context, scene, ring, tile, rowPrice, end, seen);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {Ring} ring
   * @param {Tile} tile
   * @param {number} rowPrice
   * @param {number} end time from which on a finer ring was painted
   * @param {Set<string>} seen
   */
  copy(context, scene, ring, tile, rowPrice, end, seen) {
    const panel = /** @type {Panel} */ (scene.heat);
    const { x } = scene;
    const ratio = context.getTransform().a;
    const perPixel = (panel.high - panel.low) / (panel.height * ratio);
    const group = nice(Math.max(perPixel, rowPrice * 0.999) / tile.rowPrice);
    const picture = this.picture(ring, tile, group, rowPrice > tile.rowPrice, seen);
    if (!picture) return;
    const columns = Math.min(tile.columns, Math.ceil((end - tile.first * ring.columnMs) / ring.columnMs));
    const height = picture.canvas.height;
    const across = (/** @type {number} */ time) =>
      Math.round((x.left + ((time - x.low) / (x.high - x.low)) * x.width) * ratio) / ratio;
    const down = (/** @type {number} */ price) =>
      Math.round((panel.top + ((panel.high - price) / (panel.high - panel.low)) * panel.height) * ratio) / ratio;
    const [left, right] = [tile.first, tile.first + columns].map((column) => across(column * ring.columnMs));
    const size = group * tile.rowPrice;
    const [top, bottom] = [down((picture.first + height) * size), down(picture.first * size)];
    context.drawImage(picture.canvas, 0, 0, columns, height, left, top, right - left, bottom - top);
  }

  /**
   * @param {Ring} ring
   * @param {Tile} tile
   * @param {number} group
   * @param {boolean} summed whether rows are added; else the largest of them is shown: walls stay
   * @param {Set<string>} seen
   */
  picture(ring, tile, group, summed, seen) {
    const contrast = this.contrasts.get(ring.columnMs);
    if (!contrast) return null; // nothing of it is in view, or it has just come
    const place = `${ring.columnMs}:${tile.first}`;
    seen.add(place);
    const key = `${tile.key}:${group}:${summed}:${contrast.name}`;
    const kept = this.pictures.get(place);
    if (kept?.key === key) return kept;
    const first = Math.floor(tile.base / group);
    const rows = Math.floor((tile.base + tile.rows - 1) / group) - first + 1;
    const canvas = kept?.canvas ?? document.createElement("canvas");
    if (canvas.width !== TILE_COLUMNS || canvas.height !== rows) {
      canvas.width = TILE_COLUMNS;
      canvas.height = rows;
    }
    const image = new ImageData(TILE_COLUMNS, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const fill = group === 1 ? fillRows : summed ? fillSums : fillLargest;
    fill(pixels, tile, group, first, rows, contrast.table);
    canvas.getContext("2d")?.putImageData(image, 0, 0);
    const made = { canvas, key, first };
    this.pictures.set(place, made);
    return made;
  }
}

/**
 * @typedef {(pixels: Uint32Array, tile: Tile, group: number, first: number, rows: number,
 *   table: Uint32Array) => void} Fill
 */

/** @type {Fill} */
const fillRows = (pixels, tile, _group, _first, rows, table) => {
  for (let column = 0; column < tile.columns; column++) {
    const start = column * tile.rows;
    let at = (rows - 1) * TILE_COLUMNS + column;
    for (let row = 0; row < rows; row++, at -= TILE_COLUMNS) {
      pixels[at] = table[tile.cells[start + row] & MAGNITUDE];
    }
  }
};

/** @type {Fill} */
const fillLargest = (pixels, tile, group, first, rows, table) => {
  const most = new Uint16Array(rows);
  for (let column = 0; column < tile.columns; column++) {
    most.fill(0);
    const start = column * tile.rows;
    for (let row = 0; row < tile.rows; row++) {
      const at = Math.floor((tile.base + row) / group) - first;
      const magnitude = tile.cells[start + row] & MAGNITUDE;
      if (magnitude > most[at]) most[at] = magnitude;
    }
    for (let row = 0; row < rows; row++) {
      pixels[(rows - 1 - row) * TILE_COLUMNS + column] = table[most[row]];
    }
  }
};

// Of the row at the touch, which holds both sides, the larger sum is shown, as in a single row.
/** @type {Fill} */
const fillSums = (pixels, tile, group, first, rows, table) => {
  const sums = [new Float32Array(rows), new Float32Array(rows)];
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let column = 0; column < tile.columns; column++) {
    sums[0].fill(0);
    sums[1].fill(0);
    const start = column * tile.rows;
    for (let row = 0; row < tile.rows; row++) {
      const cell = tile.cells[start + row];
      if (!cell) continue;
      const at = Math.floor((tile.base + row) / group) - first;
      sums[cell & ASK ? 1 : 0][at] += sizeOf(cell & MAGNITUDE);
    }
    for (let row = 0; row < rows; row++) {
      float[0] = Math.max(sums[0][row], sums[1][row]);
      pixels[(rows - 1 - row) * TILE_COLUMNS + column] = table[bits[0] >>> 16];
    }
  }
};
