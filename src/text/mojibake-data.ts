/**
 * Characters that occur in text decoded by the wrong table, by what they are, and the sequences of them that no one writes: the
 * heuristic of ftfy 6.3.1 (`badness.py` and `chardata.py`, R. Speer, Apache-2.0), as its documentation describes it.
 */

const common = '\u00a0\u00ad·´–—―…’'
const c1 = '\u0080-\u009f'
const bad = '¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº'
const law = '¶§'
const currency = '¢£¥₧€'
const start = '¡«¿©΄΅‘‚“„•‹\uf8ff'
const end = '®»˝”›™'
const numeric = '²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№'
const kaomoji = 'Ò-ÖÙ-Üò-öø-üŐŌŪŲ°'
const upperAccented = 'À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ'
const lowerAccented = 'ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ'
const upperCommon = 'ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я'
const lowerCommon = 'α-ωάέήίΰа-џ'
const box = '│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓'
const accented = `${lowerAccented}${upperAccented}`
const amid = `${accented}${box}${start}${end}${currency}${numeric}${law}`
const arabic = `[ØÙ][${common}${currency}${bad}${numeric}${start}ŸŠ®°µ»]`
const between = `${c1}${bad}${start}${end}${currency}°`

/** Sources of regular expressions: text that has one of these was decoded by the wrong table. */
export const unlikely: readonly string[] = [
  `[${c1}]`,
  `[${bad}${amid}][${bad}]`,
  `[a-zA-Z][${lowerCommon}${upperCommon}][${bad}]`,
  `[${bad}][${amid}]`,
  `[${lowerAccented}${lowerCommon}${box}${end}${currency}${numeric}][${upperAccented}]`,
  `[${box}${end}${currency}${numeric}][${lowerAccented}]`,
  `[${lowerAccented}${box}${end}][${currency}]`,
  `\\s[${upperAccented}][${currency}]`,
  `[${upperAccented}${box}][${numeric}${law}]`,
  `[${accented}${box}${currency}${end}][${start}][${numeric}]`,
  `[${accented}${currency}${numeric}${box}${law}][${end}][${start}]`,
  `[${currency}${numeric}${box}][${start}]`,
  `[a-z][${upperAccented}][${start}${currency}]`,
  `[${box}][${kaomoji}]`,
  `[${accented}${currency}${numeric}${start}${end}${law}][${box}]`,
  `[${box}][${end}]`,
  `[${accented}][${start}${end}][\\p{L}\\p{N}_]`,
  '[Œœ][^A-Za-z]',
  `[${upperAccented}]°`,
  `[ÂÃÎÐ][€œŠš¢£Ÿž\u00a0\u00ad®©°·»${start}${end}–—´]`,
  '×[²³]',
  `${arabic}${arabic}`,
  'à[²µ¹¼½¾]',
  '√[±∂†≠®™´≤≥¥µø]',
  '≈[°¢]',
  '‚Ä[ìîïòôúùû†°¢π]',
  '‚[âó][àä°ê]',
  'вЂ',
  `[ВГРС][${between}µ][ВГРС]`,
  'ГўВЂВ.[A-Za-z ]',
  'Ã[\u00a0¡]',
  '[a-z]\\s?[ÃÂ][ ]',
  '^[ÃÂ][ ]',
  `[a-z.,?!${end}]Â[ ${start}${end}]`,
  'β€[™\u00a0Ά\u00ad®°]',
  `[ΒΓΞΟ][${between}][ΒΓΞΟ]`,
  'ā€',
]

const strictlyFollowing = '\u0080-¿ĄÆĽŁØŖŚŠŞŤŸŹŽŻŒąæƒľłøŗśšşťźžżœˆˇ˘˛˜˝΄΅ΆΈΉΊΌΎΏЁЂЃЄЅІЇЈЉЊЋЌЎЏёђѓєѕіїјљњћќўџҐґ†‡‰‹›€№™'
const following = `${strictlyFollowing} –—―‘’‚“”„•…`
const firstOf2 =
  'ĂÂÄĀÅÃÆĆČÇĎĐÉĚÊËĖÈĒĘÐĞĢÍÎÏİÌĪĶĹĻŁŃŇŅÑÓÔÖŐÒŌØÕŘŚŠŞŢÞÚÛÜŰÙŪŲŮÝŹŽŻß×ΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫάέήίВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ'
const firstOf3 = 'áăâäàāąåãæćčçďéěêëėèēęģíîïìīįķĺļŕźΰαβγδεζηθικλμνξοабвгдежзийклмноп'
const firstOf4 = 'đðğóšπσру'
/** What looks like bytes of UTF-8, each decoded to a character, amid text that is right. */
export const embedded = `(?<![${strictlyFollowing}])(?:[${firstOf2}][${following}]|[${firstOf3}][${following}]{2}|[${firstOf4}][${following}]{3})+`

/** The upper half of IBM's code page 437, which browsers have no table of. */
export const codePage437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0'

/** What Windows-1252 has for the bytes 80 to 9F; five stand for themselves. Runtimes' own decoders of it are not all right. */
export const windows1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'
