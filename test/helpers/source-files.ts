import { readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

/**
 * The TypeScript files below a folder of the project, relative to it, in order. Of the console neither what others
 * wrote nor what is made of the API.
 */
export function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => !/^console\/(?:node_modules|generated)\//.test(file))
    .sort();
}
