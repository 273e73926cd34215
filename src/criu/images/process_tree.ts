import { PstreeEntrySchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { type Image, magic } from "./format.ts";
import { readRecords } from "./records.ts";

/** PID_MAX_LIMIT of 64-bit kernels. */
const maxPid = 4_194_304;

export interface TreeEntry {
  pid: number;
  /** 0 for the root. */
  ppid: number;
  pgid: number;
  sid: number;
  /** Thread ids, the process's own included. */
  threads: number[];
}

/**
 * The processes of a checkpoint, the root first and every parent before its children: the tree has no loops. All pids
 * and thread ids must be free before a restore. Reads one small file. Throws CHECKPOINT_CORRUPT.
 */
export async function readProcessTree(dir: string): Promise<TreeEntry[]> {
  const image: Image = { dir, name: "pstree.img", magic: magic.pstree };
  const tree: TreeEntry[] = [];
  const pids = new Set<number>();
  const tids = new Set<number>();
  const found = await readRecords(image, PstreeEntrySchema, (entry) => {
    const { pid, ppid, pgid, sid } = entry;
    // The first is the process itself, and for a zombie CRIU 4.2 leaves garbage there; it ignores it on restore too.
    const threads = [pid, ...entry.threads.slice(1)];
    const parentKnown = tree.length === 0 ? ppid === 0 : pids.has(ppid);
    if (!parentKnown)
      throw corruptImage(image, `says that ${ppid} is the parent of ${pid}, but not what it is`);
    for (const tid of threads) {
      if (tid < 1 || tid > maxPid) throw corruptImage(image, `holds an impossible pid (${tid})`);
      if (tids.has(tid)) throw corruptImage(image, `holds pid ${tid} twice`);
      tids.add(tid);
    }
    pids.add(pid);
    tree.push({ pid, ppid, pgid, sid, threads });
  });
  if (!found) throw corruptImage(image, "is missing");
  if (tree.length === 0) throw corruptImage(image, "holds no process");
  return tree;
}
