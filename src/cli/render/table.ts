/** Columns by the width a terminal gives them, two spaces between, no blanks at the ends of lines. */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) =>
    Math.max(...lines.map((line) => Bun.stringWidth(line[column] ?? ""))),
  );
  return lines
    .map((line) =>
      line.map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell))),
    )
    .map((cells) => `${cells.join("  ").trimEnd()}\n`)
    .join("");
}

/** The same without a header: names and what they hold. */
export function renderPairs(pairs: readonly (readonly [string, string])[]): string {
  const [first, ...rest] = pairs;
  return first === undefined ? "" : renderTable(first, rest);
}

/** Keeps what programs named themselves from moving the cursor or breaking a line. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must go
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, escaped);
}

const named: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escaped(character: string): string {
  return named[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
