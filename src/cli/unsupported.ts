/** What the contract names and later issues build: understood, and refused in one line rather than ignored. */
import { CedanaError } from "../errors.ts";
import { type Command, defineCommand } from "./command.ts";

export const supportedTypes = ["process", "runc", "containerd"] as const;

export function notSupported(what: string, hint?: string): CedanaError {
  return new CedanaError({ reason: "NOT_SUPPORTED", message: `not supported yet: ${what}`, hint });
}

/** Commands for the types that are not built yet; they take any flags, because they know none. */
export function laterCommands(verb: string, types: readonly string[]): Command[] {
  return types.map((type) =>
    defineCommand({
      meta: { name: type, description: `${verb} ${type} (not supported yet)`, hidden: true },
      args: { rest: { type: "positional", repeatable: true } },
      takesAnything: true,
      run() {
        throw notSupported(`${verb} of type ${type}`, `supported types: ${supportedTypes.join(", ")}`);
      },
    }),
  );
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
