#!/usr/bin/env node
import { runProgram } from './cli/program.js';
import { processTerminal, surviveClosedPipes } from './cli/terminal.js';

surviveClosedPipes();
process.exitCode = await runProgram(process.argv.slice(2), processTerminal());
