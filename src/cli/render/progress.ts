/** How far an operation has come, as text. */
import { size } from "./size.ts";
import { printable } from "./table.ts";

/** As an operation tells it. */
export interface Progress {
  /** The step under way. */
  phase: string;
  /** What it has moved. */
  bytesDone: number | bigint;
  /** What it will have moved at its end; 0: unknown. */
  bytesTotal: number | bigint;
}

export interface View extends Progress {
  /** "dump" or "restore" */
  verb: string;
  /** Bytes per second. */
  rate: number | undefined;
  /** Since it began. */
  seconds: number;
}

const widest = 40;
const narrowest = 10;

/** "dump: criu 1.2 GiB of 4.0 GiB, 1.1 GiB/s, 3 s left" */
export function renderLine(view: View): string {
  return `${headOf(view)}${Number(view.bytesDone) > 0 || Number(view.bytesTotal) > 0 ? "" : ","} ${tailOf(view)}`;
}

/** The same with a bar where that fits; never as wide as the window, since a terminal may then begin a new line. */
export function renderBar(view: View, window: { columns: number; colours: boolean }): string {
  const line = renderLine(view);
  const total = Number(view.bytesTotal);
  const room = window.columns - 1 - Bun.stringWidth(line) - "[] 100% ".length;
  if (total === 0 || room < narrowest) return cut(line, window.columns - 1);
  const part = Math.min(Number(view.bytesDone) / total, 1);
  const width = Math.min(room, widest);
  const full = Math.floor(part * width);
  const paint = (text: string) => (window.colours ? `\x1b[36m${text}\x1b[0m` : text);
  const bar = `[${paint("=".repeat(full))}${" ".repeat(width - full)}]`;
  return `${headOf(view)} ${bar} ${Math.floor(part * 100)}% ${tailOf(view)}`;
}

function headOf({ verb, phase }: View): string {
  return `${verb}: ${printable(phase)}`;
}

function tailOf({ bytesDone, bytesTotal, rate, seconds }: View): string {
  const [done, total] = [Number(bytesDone), Number(bytesTotal)];
  const moved = total > 0 ? `${size(done)} of ${size(total)}` : done > 0 ? size(done) : "";
  const speed = rate === undefined ? "" : `${size(rate)}/s`;
  const time =
    rate !== undefined && total > 0 ? `${span((total - done) / rate)} left` : `${span(seconds)} so far`;
  return [moved, speed, time].filter(Boolean).join(", ");
}

/** Seconds as "3 s", "2 min 5 s", "1 h 20 min". */
function span(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function cut(line: string, width: number): string {
  let text = line;
  while (text !== "" && Bun.stringWidth(text) > width) text = text.slice(0, -1);
  return text;
}
