/** The help of a command, put together from its declaration. */
import { type Command, type Flag, namesOf, shortNamesOf } from "../command.ts";
import { globalFlags } from "../globals.ts";
import { renderPairs } from "./table.ts";

export function renderHelp(command: Command, path: readonly string[]): string {
  const { meta, args, subCommands } = command;
  const called = ["cedana", ...path].join(" ");
  const flags = Object.entries<Flag>(args);
  const positionals = flags.filter(([, flag]) => flag.type === "positional");
  const own = flags.filter(([, flag]) => flag.type !== "positional");
  const commands = subCommands.filter((candidate) => candidate.meta.hidden !== true);
  const usage = [
    called,
    "[flags]",
    ...positionals.map(usageOf),
    ...(commands.length > 0 ? ["<command>"] : []),
  ];
  const aliases = namesOf(command).slice(1);
  return [
    `${meta.description}\n`,
    `Usage: ${usage.join(" ")}\n`,
    aliases.length > 0 ? `Aliases: ${aliases.join(", ")}\n` : "",
    section(
      "Commands",
      commands.map(({ meta: { name, description } }) => [name, description]),
    ),
    section(
      "Arguments",
      positionals.map(([name, flag]) => [flag.valueHint ?? name, flag.description ?? ""]),
    ),
    section("Flags", own.map(flagLine)),
    section("Global flags", Object.entries<Flag>(globalFlags).map(flagLine)),
    meta.examples === undefined ? "" : `Examples:\n${meta.examples.map((line) => `  ${line}\n`).join("")}`,
    meta.notes === undefined ? "" : `${meta.notes}\n`,
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function usageOf([name, flag]: [string, Flag]): string {
  const shown = `${flag.valueHint ?? name}${flag.repeatable ? "..." : ""}`;
  return flag.required ? `<${shown}>` : `[${shown}]`;
}

function flagLine([name, flag]: [string, Flag]): [string, string] {
  const short = shortNamesOf(flag).map((letter) => `-${letter}, `)[0] ?? "    ";
  const many = flag.repeatable ? " (may be repeated)" : "";
  return [`${short}--${name}${placeholder(flag)}`, `${flag.description ?? ""}${many}`];
}

function placeholder(flag: Flag): string {
  if (flag.type === "boolean") return "";
  return ` ${flag.type === "enum" ? (flag.options ?? []).join("|") : (flag.valueHint ?? "VALUE")}`;
}

function section(title: string, lines: [string, string][]): string {
  if (lines.length === 0) return "";
  return `${title}:\n${renderPairs(lines.map(([left, right]): [string, string] => [`  ${left}`, right]))}`;
}
