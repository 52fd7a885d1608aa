/** Options of `sample` that messages name. */

export const vectorOption = '--vector'
export const boxesOption = '--boxes'
export const boxesExpected = 'what is where: "left,top,right,bottom class; ...", or a file of JSON'
