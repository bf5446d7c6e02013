import type { RoomWords } from '../catalogue';
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

export const rooms: RoomWords = { ...door, ...call, ...courtyards, ...talk, ...traffic, ...friends, ...wall, ...me, ...notify, ...errors };
