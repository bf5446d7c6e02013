/** The words of every room but the first screen, in one file to load. A room with many words of its own adds a file and a name here. */
import { call } from './call';
import { courtyards } from './courtyards';
import { door } from './door';
import { errors } from './errors';
import { friends } from './friends';
import { me } from './me';
import { notify } from './notify';
import { talk } from './talk';
import { traffic } from './traffic';
import { wall } from './wall';

export const rooms = { ...door, ...call, ...courtyards, ...talk, ...traffic, ...friends, ...wall, ...me, ...notify, ...errors };
