/**
 * argv in, exit status out. The hidden verbs come first: they start in the middle of every run and dump, and must
 * not pay for loading the command line.
 */
switch (process.argv[2]) {
  case "__exec":
    (await import("./system/exec.ts")).execMain();
    break;
  case "__supervise":
    await (await import("./supervisor/supervise.ts")).superviseMain();
    break;
  case "__move":
    await (await import("./engine/mover/main.ts")).moverMain();
    break;
  default:
    process.exitCode = await (await import("./cli/main.ts")).cliMain(process.argv.slice(2));
}

export {};
