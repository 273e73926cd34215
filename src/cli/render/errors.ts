/** A failure as the person who called sees it: what and why, then what to do about it; and the exit status. */
import { CedanaError, messageOf, type Reason } from "../../errors.ts";
import { printable } from "./table.ts";

/** 1 for a failure, 2 for wrong usage, 130 as a shell has it for what Ctrl+C ended. */
const statuses: Partial<Record<Reason, number>> = { USAGE: 2, CANCELLED: 130 };

export function exitStatusOf(error: unknown): number {
  return error instanceof CedanaError ? (statuses[error.reason] ?? 1) : 1;
}

export function renderError(error: unknown, look: { colours: boolean; details: boolean }): string {
  const paint = (code: number, text: string) => (look.colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  if (!(error instanceof CedanaError)) {
    const trace = look.details && error instanceof Error ? `${error.stack}\n` : "";
    return `${paint(31, "error:")} internal error: ${printable(messageOf(error))}\n${trace}`;
  }
  const lines = [`${paint(31, "error:")} ${printable(error.message)}`];
  if (error.hint !== undefined) lines.push(`${paint(36, "hint:")} ${printable(error.hint)}`);
  if (look.details) lines.push(...error.details.map((detail) => `  ${printable(detail)}`));
  return `${lines.join("\n")}\n`;
}
