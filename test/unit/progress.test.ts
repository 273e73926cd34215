import { describe, expect, test } from "bun:test";
import { Operations } from "../../src/engine/progress.ts";
import { runSteps } from "../../src/engine/steps.ts";

const root = { uid: 0, gid: 0, groups: [] };
const ann = { uid: 4001, gid: 4001, groups: [] };
const ben = { uid: 4002, gid: 4002, groups: [] };
const id = "0b8d9c53-6d0c-4a5c-8a33-0d1c3f1d2a11";

describe("who watches an operation", () => {
  test("sees its steps and bytes, the latest only, until it is over", async () => {
    const operations = new Operations();
    const operation = operations.begin({ id, caller: ann });
    const watch = (await operations.find({ id, caller: ann })).watch();
    await runSteps(operation, async (step) => {
      await step("first", async () => {
        operation.bytes(1, 10);
        operation.bytes(2, 10);
        const { value } = await watch.next();
        expect(value).toEqual({ phase: "first", bytesDone: 2, bytesTotal: 10 });
        for (let done = 3; done <= 1000; done++) operation.bytes(done);
        const next = await watch.next();
        expect(next.value).toEqual({ phase: "first", bytesDone: 1000, bytesTotal: 0 });
      });
      await step("second", () => {});
    });
    operation[Symbol.dispose]();
    expect(await Array.fromAsync(watch)).toEqual([{ phase: "second", bytesDone: 0, bytesTotal: 0 }]);
  });

  test("may come before it begins, and many may watch the same", async () => {
    const operations = new Operations();
    const found = [1, 2, 3].map(() => operations.find({ id, caller: ann }));
    const operation = operations.begin({ id, caller: ann });
    const watches = (await Promise.all(found)).map((each) => Array.fromAsync(each.watch()));
    operation.phase("only");
    operation[Symbol.dispose]();
    for (const seen of await Promise.all(watches)) expect(seen.at(-1)?.phase).toBe("only");
  });

  test("has a gauge read, which nobody else pays for", async () => {
    const operation = new Operations().begin({ caller: ann });
    let readings = 0;
    operation.phase("criu");
    operation.measure(() => ({ done: ++readings, total: 5 }));
    expect(readings).toBe(0);
    const watch = operation.watch();
    const { value } = await watch.next();
    expect(value).toEqual({ phase: "criu", bytesDone: 1, bytesTotal: 5 });
    await watch.return(undefined);
    operation.phase("pack");
    const after = readings;
    expect((await operation.watch().next()).value).toEqual({ phase: "pack", bytesDone: 0, bytesTotal: 0 });
    expect(readings).toBe(after);
  });

  test("goes away when told to, and the operation goes on", async () => {
    const operation = new Operations().begin({ caller: ann });
    const leaving = new AbortController();
    const watch = operation.watch(leaving.signal);
    operation.phase("criu");
    await watch.next();
    leaving.abort();
    expect((await watch.next()).done).toBe(true);
    expect(operation.signal.aborted).toBe(false);
  });

  test("is its caller or root, nobody else", async () => {
    const operations = new Operations();
    using operation = operations.begin({ id, caller: ann });
    expect(await operations.find({ id, caller: root })).toBe(operation);
    await expect(operations.find({ id, caller: ben })).rejects.toMatchObject({ reason: "PERMISSION_DENIED" });
  });

  test("hears when there is none, before it or any more", async () => {
    const operations = new Operations();
    operations.begin({ id, caller: ann })[Symbol.dispose]();
    await expect(operations.find({ id, caller: ann })).rejects.toMatchObject({
      reason: "OPERATION_NOT_FOUND",
    });
  });
});

describe("an operation", () => {
  test("of a name that is under way is refused, and may be had again afterwards", () => {
    const operations = new Operations();
    const first = operations.begin({ id, caller: ann });
    expect(() => operations.begin({ id, caller: ben })).toThrow("is under way already");
    first[Symbol.dispose]();
    operations.begin({ id, caller: ben })[Symbol.dispose]();
  });

  test("that is cancelled is undone, and whoever cancelled hears when it is over", async () => {
    const operations = new Operations();
    const undone: string[] = [];
    const work = async () => {
      using operation = operations.begin({ id, caller: ann });
      const found = await operations.find({ id, caller: ann });
      await runSteps(operation, async (step) => {
        await step(
          "made",
          () => found.cancel(),
          async () => {
            await Bun.sleep(0);
            undone.push("made");
          },
        );
        await step("never", () => {});
      });
    };
    const working = work();
    const watched = (await operations.find({ id, caller: ann })).over().then(() => [...undone]);
    await expect(working).rejects.toMatchObject({ reason: "CANCELLED" });
    expect(await watched).toEqual(["made"]);
  });
});
