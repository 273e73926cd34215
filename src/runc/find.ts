/** A container by what people call it: its id, or the beginning of one, as Docker shortens ids. */
import { CedanaError } from "../errors.ts";
import { unless } from "../system/small_file.ts";
import { containerIds, type RuncContainer, readContainer } from "./containers.ts";
import { checkContainerId } from "./id.ts";
import { realPath, wellKnownRoots } from "./roots.ts";

/** Shorter beginnings are too easily another container's, now or with the next one that is started. */
const shortestPrefix = 4;
const namedCandidates = 5;

export interface FindOptions {
  root: string;
  id: string;
  /** Where else to look, for the hint. */
  otherRoots?: readonly string[];
}

/**
 * Throws INVALID_ARGUMENT for what is no id or could be several, CONTAINER_NOT_FOUND when there is none, and what
 * listContainers and readState throw.
 */
export function findContainer({ root, id, otherRoots = wellKnownRoots() }: FindOptions): RuncContainer {
  const found = lookUp(root, id);
  if (found !== undefined) return found;
  const own = realPath(root);
  const other = otherRoots.find((candidate) => realPath(candidate) !== own && isIn(candidate, id));
  throw new CedanaError({
    reason: "CONTAINER_NOT_FOUND",
    message: `no container ${id} in ${root}`,
    hint:
      other === undefined
        ? `runc --root ${root} list shows those there are`
        : `there is one in another root: add --root ${other}`,
  });
}

function lookUp(root: string, id: string): RuncContainer | undefined {
  checkContainerId(id);
  const ids = containerIds(root);
  const exact = ids.includes(id) ? readContainer(root, id) : undefined;
  if (exact !== undefined || id.length < shortestPrefix) return exact;
  const candidates = ids.flatMap((name) => (name.startsWith(id) ? (readContainer(root, name) ?? []) : []));
  if (candidates.length > 1) throw ambiguous(id, candidates);
  return candidates[0];
}

function ambiguous(id: string, candidates: RuncContainer[]): CedanaError {
  const names = candidates.slice(0, namedCandidates).map((candidate) => candidate.id);
  const more = candidates.length - names.length;
  return new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `${id} could be ${names.join(", ")}${more > 0 ? ` or ${more} more` : ""}`,
    hint: "name more of the id",
  });
}

/** A root that is closed to us, or broken there, is no place to send anybody. */
function isIn(root: string, id: string): boolean {
  return (
    unless(["PERMISSION_DENIED", "PATH_NOT_USABLE", "INVALID_ARGUMENT"], () => lookUp(root, id)) !== undefined
  );
}
