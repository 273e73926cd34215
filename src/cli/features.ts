/** What each type of job can do, as `cedana features` prints it. */
import { nearest, usageError } from "./argv/usage.ts";
import { renderTable } from "./render/table.ts";

const verbs = ["run", "manage", "dump", "restore", "freeze", "query"] as const;

export interface TypeFeatures {
  type: string;
  verbs: readonly (typeof verbs)[number][];
  /** Why it lacks the others; empty when it lacks none. */
  why: string;
}

const types: readonly TypeFeatures[] = [
  { type: "process", verbs, why: "" },
  { type: "runc", verbs: [], why: "not supported yet" },
  { type: "containerd", verbs: [], why: "not supported yet" },
];

export function featuresOf(names: readonly string[], path: readonly string[]): TypeFeatures[] {
  const known = types.map(({ type }) => type);
  for (const name of names) {
    if (!known.includes(name))
      throw usageError(`"${name}" is none of ${known.join(", ")}`, path, nearest(name, known));
  }
  return types.filter(({ type }) => names.length === 0 || names.includes(type));
}

export function renderFeatures(shown: readonly TypeFeatures[], errors: boolean): string {
  const row = ({ type, verbs: can, why }: TypeFeatures) => [
    type,
    ...verbs.map((verb) => (can.includes(verb) ? "yes" : "no")),
    ...(errors ? [why] : []),
  ];
  return renderTable(
    ["TYPE", ...verbs.map((verb) => verb.toUpperCase()), ...(errors ? ["WHY NOT"] : [])],
    shown.map(row),
  );
}
