const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** Bytes as "644 KiB"; one decimal below ten: "1.2 GiB". */
export function size(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  // Rounded first: 1023.6 KiB is 1.0 MiB, not 1024 KiB.
  while (Math.round(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const text = unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0);
  return `${text} ${units[unit]}`;
}
