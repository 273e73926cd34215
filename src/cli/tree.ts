/** Every command there is. Declarations only: what a command does is loaded when it runs. */
import { aliasOf, type Command, defineGroup } from "./command.ts";
import { attachPid } from "./verbs/attach.ts";
import { check } from "./verbs/check.ts";
import { jobCheckpoints } from "./verbs/checkpoint.ts";
import { completeCommand, completionCommands } from "./verbs/completion.ts";
import { bootstrap, daemonGroup } from "./verbs/daemon.ts";
import { dumpGroup } from "./verbs/dump.ts";
import { freezeGroup, unfreezeGroup } from "./verbs/freeze.ts";
import { helpCommand, versionCommand } from "./verbs/help.ts";
import { jobDelete, jobGroup, jobKill, jobList } from "./verbs/job.ts";
import { manageGroup } from "./verbs/manage.ts";
import { pluginFeatures, pluginGroup, pluginList } from "./verbs/plugin.ts";
import { queryGroup } from "./verbs/query.ts";
import { restoreGroup } from "./verbs/restore.ts";
import { exec, runGroup } from "./verbs/run.ts";

export const root: Command = defineGroup(
  {
    name: "cedana",
    description: "Run, checkpoint and restore processes and containers",
    examples: [
      "cedana run process --attach ./train.sh",
      "cedana ps",
      "cedana dump job used_gould8",
      "cedana restore job --attach used_gould8",
    ],
    notes: "cedana help COMMAND explains a command; cedana help config explains the configuration.",
  },
  [
    runGroup,
    exec,
    manageGroup,
    dumpGroup,
    restoreGroup,
    freezeGroup,
    unfreezeGroup,
    queryGroup,
    jobGroup,
    aliasOf(jobList, "ps", { alias: ["jobs"] }),
    attachPid,
    aliasOf(jobKill, "kill"),
    aliasOf(jobDelete, "delete"),
    aliasOf(jobCheckpoints, "checkpoints"),
    daemonGroup,
    check,
    pluginGroup,
    aliasOf(pluginList, "plugins"),
    aliasOf(pluginFeatures, "features"),
    defineGroup(
      { name: "completion", description: "Print a completion script for a shell" },
      completionCommands,
    ),
    bootstrap,
    helpCommand(() => root),
    versionCommand,
    completeCommand(() => root),
  ],
);
