/** What the contract names and later issues build: understood, and refused in one line rather than ignored. */
import { CedanaError } from "../errors.ts";

export function notSupported(what: string, hint?: string): CedanaError {
  return new CedanaError({ reason: "NOT_SUPPORTED", message: `not supported yet: ${what}`, hint });
}

/** Throws for the first of these flags that was given. */
export function refuseGiven(
  given: Record<string, boolean | string | number | undefined>,
  hint?: string,
): void {
  for (const [flag, value] of Object.entries(given)) {
    if (value !== undefined && value !== false && value !== 0 && value !== "")
      throw notSupported(`--${flag}`, hint);
  }
}
