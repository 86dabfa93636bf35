import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { StartError } from '../start-error.js';

/** Where the control sockets of gateways are, unless the file of the server names another folder. */
export const RUN_FOLDER = '/run/culvert/gateways';

/** Names of a member's control socket and of the files beside it: id of the gateway, number of the member. */
const MEMBER_FILE = /^(.+)-([0-9]+)\.sock(\.[a-z]+)?$/;

/** A file in the run folder that belongs to member `index` of gateway `id`. */
export interface MemberFile {
  readonly id: string;
  readonly index: number;
  readonly isSocket: boolean;
}

/** Returns the path of a member's control socket: `FOLDER/ID-INDEX.sock`. */
export function memberSocket(folder: string, id: string, index: number): string {
  return join(folder, `${id}-${index}.sock`);
}

/** Whose file it is; undefined for one that is no member's. */
export function memberOf(fileName: string): MemberFile | undefined {
  const [, id, index, suffix] = MEMBER_FILE.exec(fileName) ?? [];
  return id === undefined ? undefined : { id, index: Number(index), isSocket: suffix === undefined };
}

/**
 * Makes the folder, or makes sure that it is ours alone: keys are sent to what answers in it.
 * @throws StartError when it is another user's, or no folder
 */
export function ownFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { uid } = lstatSync(path);
  if (!lstatSync(path).isDirectory() || uid !== process.geteuid?.()) {
    throw new StartError(
      `the folder ${path} belongs to another user, or is a link`,
      'name another one as "run_folder", in a place that only root may write to',
    );
  }
  chmodSync(path, 0o700);
}
