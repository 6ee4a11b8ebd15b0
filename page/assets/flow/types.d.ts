// What the modules of the order-flow views hand to each other. Times are ms since the epoch, UTC;
// prices are in quote currency, sizes as recorded.

export type Side = 0 | 1 | 2; // the taker sold, bought, or is unknown
export type View = "bars" | "heatmap" | "footprint" | "both";
export type Range = [number, number];

/** Neighbouring columns of one resolution that have the same rows; row `row` begins at
 *  `(base + row) * rowPrice`. */
export interface Tile {
  key: string; // names the tile and its content
  first: number; // number of its first column: time / columnMs
  columns: number;
  rows: number;
  base: number;
  rowPrice: number;
  cells: Uint16Array; // column by column, lowest row first; the highest bit is set for asks
}

/** One resolution of resting liquidity, as in docs/flow-files.md. */
export interface Ring {
  columnMs: number;
  rows: number;
  first: number; // number of the first column
  count: number;
  low: Float64Array;
  row: Float64Array;
  bid: Float64Array; // NaN where the side is empty
  ask: Float64Array;
  cells: Uint16Array;
  factor: number; // what a cell's size is multiplied by where it is told
  tiles: Tile[];
}

/** A bar and its volume by price row, lowest first; row `row` begins at `row * rowPrice`. */
export interface Bar {
  number: number;
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  delta: number;
  minDelta: number;
  maxDelta: number;
  cvd: number;
  vwap: number;
  cells: Rows; // none in a bar that is older than the footprint's
  grouped?: Map<number, Grouped>;
  stepMs?: number; // of a bar that stands for several windows
}

/** Bars of a part of the run, neighbours joined where there are many. */
export interface RangeBars {
  run: string;
  stepMs: number;
  joined: number; // how many windows a bar stands for
  from: number;
  to: number;
  begin: number; // of all bars there are
  end: number;
  bars: number; // how many there are from `from` to `to`
  total: number; // how many there are
  time: Float64Array;
  open: Float64Array;
  high: Float64Array;
  low: Float64Array;
  close: Float64Array;
  volume: Float64Array;
  buy: Float64Array;
  sell: Float64Array;
  other: Float64Array;
  min_delta: Float64Array;
  max_delta: Float64Array;
  vwap: Float64Array;
  cvd_close: Float64Array;
  metric_time: Float64Array;
  metric_obi_open: Float64Array;
  metric_obi_high: Float64Array;
  metric_obi_low: Float64Array;
  metric_obi_close: Float64Array;
  metric_cvd: Float64Array;
}

/** Volume by price row, rows without any left out. */
export interface Rows {
  rows: Float64Array;
  sold: Float64Array;
  bought: Float64Array;
  other: Float64Array; // of trades whose side is not known
}

export interface Grouped extends Rows {
  group: number; // how many base rows make one
  poc: number; // index of the row with the most volume, -1 without any
}

export interface Footprint {
  run: string;
  windowMs: number;
  rowPrice: number; // of a base row
  tick: number;
  decimals: number;
  bars: Bar[];
  older?: Bar[]; // before those, without cells
  session: Session | null;
}

/** The profile of the UTC day of the last trade. */
export interface Session {
  start: number;
  rowPrice: number;
  vwap: number;
  profile: Grouped;
  area: Area;
}

/** Indices of rows. */
export interface Area {
  poc: number;
  low: number;
  high: number;
}

export interface Trades {
  times: Float64Array;
  prices: Float64Array;
  sizes: Float64Array;
  sides: Uint8Array;
}

export interface Quotes {
  times: Float64Array;
  bids: Float64Array;
  asks: Float64Array;
}

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A panel with a price axis. */
export interface Panel extends Box {
  low: number;
  high: number;
}

/** Where everything is on the canvas, in CSS pixels. */
export interface Scene {
  width: number;
  height: number;
  phone: boolean;
  x: { left: number; width: number; low: number; high: number };
  heat: Panel | null;
  foot: Panel | null;
  statistics: Box | null;
  profile: { left: number; width: number };
  bookLeft: number;
  bookWidth: number;
}

export interface Level {
  price: number;
  size: number;
}

/** The book and the trades of one moment, as the server has them: exact. */
export interface Moment {
  time: number;
  row: number;
  bids: Level[];
  asks: Level[];
  reliable: boolean;
  cvd: number;
  trades: Trades;
  quotes: Quotes;
}

export interface Issue {
  start: number;
  end: number;
  text: string;
  harmless: boolean;
}

/** What a trading run bought or sold. */
export interface Fill {
  time: number;
  bought: boolean;
  price: number;
  quantity: number;
  maker: boolean;
  fee: number;
  strategy: string;
}

export interface Trading {
  fills: Fill[];
  alerts: { time: number; strategy: string; text: string }[];
}

/** What sizes are in: those of the files times `factor`; without a name they are as recorded. */
export interface Unit {
  name: string | null;
  factor: number;
}

declare global {
  interface Window {
    Plotly: any;
    dash_clientside: any;
  }
}
