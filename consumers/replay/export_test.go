package replay

// ParseAnswer is parseAnswer.
var ParseAnswer = parseAnswer
