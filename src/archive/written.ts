/** What was written to one or several sinks, and is not seen yet. */
import type { ByteSink } from "./bytes.ts";
import type { SinkFolder } from "./source-folder.ts";

export interface Written {
  bytes: number;
  /** Makes it visible, in the order in which it was put together: the last part makes it a checkpoint. */
  commit(): Promise<void>;
  /** Removes it, committed or not. */
  abort(): Promise<void>;
}

/** `bytes`: what `finish` resolved with. */
export function writtenTo(sink: ByteSink, bytes: number): Written {
  return { bytes, commit: () => sink.commit(), abort: () => sink.abort() };
}

export function together(parts: readonly Written[]): Written {
  return {
    bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
    async commit() {
      for (const part of parts) await part.commit();
    },
    async abort() {
      await Promise.all(parts.map((part) => part.abort()));
    },
  };
}

export async function writeWhole(sinks: SinkFolder, name: string, bytes: Buffer): Promise<Written> {
  const sink = await sinks(name);
  try {
    await sink.write(bytes);
    return writtenTo(sink, await sink.finish());
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
