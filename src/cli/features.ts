/** What each type of job can do, as `cedana features` prints it: what its runtime implements. */
import { runtimes } from "../runtimes/registry.ts";
import { type Runtime, verbs } from "../runtimes/runtime.ts";
import { nearest, usageError } from "./argv/usage.ts";
import { renderTable } from "./render/table.ts";

export type TypeFeatures = Pick<Runtime, "type" | "features">;

export function featuresOf(names: readonly string[], path: readonly string[]): TypeFeatures[] {
  const known = runtimes.map(({ type }) => type);
  for (const name of names) {
    if (!known.includes(name))
      throw usageError(`"${name}" is none of ${known.join(", ")}`, path, nearest(name, known));
  }
  const shown = runtimes.filter(({ type }) => names.length === 0 || names.includes(type));
  return shown.map(({ type, features }) => ({ type, features }));
}

/** With `errors`, a column that says what a type lacks. */
export function renderFeatures(shown: readonly TypeFeatures[], errors: boolean): string {
  const row = ({ type, features }: TypeFeatures) => {
    const missing = verbs.filter((verb) => !features.includes(verb));
    const why = missing.length === 0 ? "" : `not supported by ${type}: ${missing.join(", ")}`;
    return [type, ...verbs.map((verb) => (features.includes(verb) ? "yes" : "no")), ...(errors ? [why] : [])];
  };
  const header = ["TYPE", ...verbs.map((verb) => verb.toUpperCase()), ...(errors ? ["WHY NOT"] : [])];
  return renderTable(header, shown.map(row));
}
