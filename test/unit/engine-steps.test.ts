import { describe, expect, test } from "bun:test";
import { runSteps } from "../../src/engine/steps.ts";
import { CedanaError } from "../../src/errors.ts";

describe("a chain of steps", () => {
  test("is timed step by step, in order", async () => {
    const { value, profile } = await runSteps({}, async (step) => {
      const one = await step("one", () => 1);
      return one + (await step("two", async () => 2));
    });
    expect(value).toBe(3);
    expect(profile.steps.map(({ name }) => name)).toEqual(["one", "two"]);
    expect(profile.totalMs).toBeGreaterThanOrEqual(profile.steps.reduce((sum, { ms }) => sum + ms, 0));
  });

  test("that fails is undone in reverse, and the failed step is not", async () => {
    const undone: string[] = [];
    const chain = runSteps({}, async (step) => {
      for (const name of ["a", "b"])
        await step(
          name,
          () => name,
          (made) => void undone.push(made),
        );
      await step(
        "c",
        () => Promise.reject(new Error("broken")),
        () => void undone.push("c"),
      );
    });
    await expect(chain).rejects.toThrow("broken");
    expect(undone).toEqual(["b", "a"]);
  });

  test("that is cancelled stops before its next step and is undone", async () => {
    const abort = new AbortController();
    const undone: string[] = [];
    const ran: string[] = [];
    const chain = runSteps({ signal: abort.signal }, async (step) => {
      await step(
        "first",
        () => void ran.push("first"),
        () => void undone.push("first"),
      );
      abort.abort();
      await step("second", () => void ran.push("second"));
    });
    await expect(chain).rejects.toMatchObject({ reason: "CANCELLED" });
    await expect(chain).rejects.toBeInstanceOf(CedanaError);
    expect([ran, undone]).toEqual([["first"], ["first"]]);
  });

  test("that is cancelled fails as such, whatever broke in the step that ran", async () => {
    const abort = new AbortController();
    const chain = runSteps({ signal: abort.signal }, (step) =>
      step("dump", () => {
        abort.abort();
        throw new Error("broken pipe");
      }),
    );
    await expect(chain).rejects.toMatchObject({ reason: "CANCELLED" });
  });

  test("tells of an undo that fails too, and goes on undoing", async () => {
    const undone: string[] = [];
    const chain = runSteps({}, async (step) => {
      await step(
        "a",
        () => {},
        () => void undone.push("a"),
      );
      await step(
        "b",
        () => {},
        () => Promise.reject(new Error("stuck")),
      );
      await step("c", () => Promise.reject(new Error("broken")));
    });
    await expect(chain).rejects.toThrow("broken; undoing it failed too: stuck");
    expect(undone).toEqual(["a"]);
  });
});
