// Volume by price: of a bar, of what is visible, of the session; point of control and value area.

/** @typedef {import("./types").Bar} Bar */
/** @typedef {import("./types").Rows} Rows */
/** @typedef {import("./types").Grouped} Grouped */
/** @typedef {import("./types").Area} Area */

/** Share of the volume that the value area holds. */
export const VALUE_AREA = 0.7;

/** Groupings that a bar keeps: the footprint's and the profile's, and those before a zoom. */
const KEPT = 4;

/**
 * Return the volume of a bar in rows of `group` base rows; answers are kept with the bar.
 * @param {Bar} bar
 * @param {number} group
 * @returns {Grouped}
 */
export const groupBar = (bar, group) => {
  bar.grouped ??= new Map();
  let found = bar.grouped.get(group);
  if (!found) {
    if (bar.grouped.size >= KEPT) bar.grouped.clear();
    bar.grouped.set(group, (found = sumOf([bar.cells], group)));
  }
  return found;
};

/**
 * Return the volume of many bars in rows of `group` base rows.
 * @param {Bar[]} bars
 * @param {number} group
 * @returns {Grouped}
 */
export const profileOf = (bars, group) => ({
  ...sumOf(
    bars.map((bar) => groupBar(bar, group)),
    1,
  ),
  group,
});

/**
 * Return the volume of several in rows of `group` base rows, those without any left out.
 * @param {Rows[]} parts
 * @param {number} group
 * @returns {Grouped}
 */
export const sumOf = (parts, group) => {
  /** @type {Map<number, number>} */
  const places = new Map();
  for (const { rows } of parts) {
    for (const row of rows) places.set(Math.floor(row / group), 0);
  }
  const rows = Float64Array.from(places.keys()).sort();
  rows.forEach((row, place) => places.set(row, place));
  const column = () => new Float64Array(rows.length);
  const summed = { group, rows, sold: column(), bought: column(), other: column(), poc: -1 };
  for (const { rows, sold, bought, other } of parts) {
    for (let index = 0; index < rows.length; index++) {
      const place = /** @type {number} */ (places.get(Math.floor(rows[index] / group)));
      summed.sold[place] += sold[index];
      summed.bought[place] += bought[index];
      summed.other[place] += other[index] ?? 0;
    }
  }
  summed.poc = pocOf(summed);
  return summed;
};

/**
 * Return the volume of the row at an index.
 * @param {Rows} profile
 * @param {number} index
 */
export const totalAt = ({ sold, bought, other }, index) =>
  sold[index] + bought[index] + (other[index] ?? 0);

/**
 * Return the index of the row with the most volume, -1 without any: of several, the one nearest to
 * the middle of the lowest and the highest row, and of two as near the lower.
 * @param {Rows} profile
 */
export const pocOf = (profile) => {
  const { rows } = profile;
  const middle = (rows[0] + rows[rows.length - 1]) / 2;
  let [best, most] = [-1, 0];
  for (let index = 0; index < rows.length; index++) {
    const total = totalAt(profile, index);
    const nearer = total === most && Math.abs(rows[index] - middle) < Math.abs(rows[best] - middle);
    if (total > most || (total > 0 && nearer)) [best, most] = [index, total];
  }
  return best;
};

/**
 * Return the value area as indices of rows, null without volume.
 *
 * From the point of control outwards: of the next two rows above and the next two below, the pair
 * with more volume is added, above when they are equal, until 70 % of the volume is in. A side with
 * one row left gives that one; with none, the other goes on.
 * @param {Grouped} profile
 * @returns {Area | null}
 */
export const valueArea = (profile) => {
  const { rows, poc } = profile;
  if (poc < 0) return null;
  const total = Float64Array.from(rows, (_, index) => totalAt(profile, index));
  const wanted = total.reduce((sum, volume) => sum + volume, 0) * VALUE_AREA;
  const last = total.length - 1;
  let [low, high, held] = [poc, poc, total[poc]];
  while (held < wanted && (low > 0 || high < last)) {
    const above = (total[high + 1] ?? 0) + (total[high + 2] ?? 0);
    const below = (total[low - 1] ?? 0) + (total[low - 2] ?? 0);
    if (high < last && (low === 0 || above >= below)) {
      high = Math.min(last, high + 2);
      held += above;
    } else {
      low = Math.max(0, low - 2);
      held += below;
    }
  }
  return { poc, low, high };
};
