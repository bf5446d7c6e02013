package lan

// Speak is the page's choice of words.
var Speak = speak
