/** The words of the page about what goes by way of the own courtyard. */
import { many } from '../en';

export const traffic = {
  traffic: {
    title: 'Calls through your courtyard',
    words: 'Calls and direct connections that went by way of your courtyard this month, because two devices could not reach each other straight, or somebody wanted it so. It passes them on and cannot see into them.',
    sum: (size: string) => `${size} this month`,
    none: 'Nothing has gone by way of your courtyard this month.',
    off: 'Your courtyard passes no calls on. Either that is switched off, or another service does it and counts by itself.',
    both: (month: string, second: string) => `Each person has ${month} a month, at most ${second} a second.`,
    monthly: (month: string) => `Each person has ${month} a month.`,
    atOnce: (second: string) => `Each person has at most ${second} a second.`,
    unbounded: 'Nobody has a limit.',
    twice: 'What comes in goes out again: whoever rents you the machine may count it twice.',
    who: 'Who used it',
    open: (n: number, shown: string) => many(n, `${shown} connection now`, `${shown} connections now`),
    speed: (size: string) => `${size} a second just now`,
    spent: 'used up until the month is over',
  },
};
