import { FsSchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import type { CheckpointContent, CheckpointProcess } from "./content.ts";
import { coreImage, readCore, taskState } from "./core.ts";
import { corruptImage } from "./corrupt.ts";
import { type FileTable, pathOf, readFileTable } from "./file_table.ts";
import { type Image, magic } from "./format.ts";
import { readIds } from "./ids.ts";
import { readInventory } from "./inventory.ts";
import { addSharedPages, readMemory, type SharedMapping } from "./memory.ts";
import { readOpenFiles } from "./open_files.ts";
import { readProcessTree, type TreeEntry } from "./process_tree.ts";
import { readOneRecord } from "./records.ts";

/**
 * Everything `job checkpoint inspect` shows. Memory itself is never read, only the maps of it. Throws
 * CHECKPOINT_CORRUPT when an image is missing, cut off or makes no sense; never changes anything.
 */
export async function readContent(dir: string): Promise<CheckpointContent> {
  await readInventory(dir);
  const files = await readFileTable(dir);
  const shared: SharedMapping[] = [];
  const processes: CheckpointProcess[] = [];
  for (const entry of await readProcessTree(dir)) {
    processes.push(await readProcess(dir, entry, files, shared));
  }
  await addSharedPages(dir, shared);
  for (const process of processes) {
    process.rss = Math.min(
      process.mappings.reduce((sum, { rss }) => sum + rss, 0),
      Number.MAX_SAFE_INTEGER,
    );
  }
  return { processes };
}

async function readProcess(
  dir: string,
  entry: TreeEntry,
  files: FileTable,
  shared: SharedMapping[],
): Promise<CheckpointProcess> {
  const core = await readCore(dir, entry.pid);
  const { state, comm } = taskState(coreImage(dir, entry.pid), core);
  const creds = core.threadCore?.creds;
  const process: CheckpointProcess = {
    ...entry,
    comm,
    state,
    uid: creds?.uid ?? 0,
    gid: creds?.gid ?? 0,
    exe: "",
    cwd: "",
    mappings: [],
    files: [],
    rss: 0,
  };
  // A zombie has nothing left but its name.
  if (state === "zombie") return process;
  const memory = await readMemory(dir, entry.pid, files);
  shared.push(...memory.shared);
  process.exe = pathOf(files, memory.exeId);
  process.mappings = memory.mappings;
  process.cwd = await readWorkingFolder(dir, entry.pid, files);
  const ids = core.ids ?? (await readIds(dir, entry.pid));
  process.files = await readOpenFiles(dir, ids.filesId, files);
  return process;
}

async function readWorkingFolder(dir: string, pid: number, files: FileTable): Promise<string> {
  const image: Image = { dir, name: `fs-${pid}.img`, magic: magic.fs };
  const fs = await readOneRecord(image, FsSchema);
  if (fs === undefined) throw corruptImage(image, "is missing");
  return pathOf(files, fs.cwdId);
}
