const round = (degrees) => Math.round(degrees * 10) / 10;

export const fromFahrenheit = (degrees) => round(((degrees - 32) * 5) / 9);
export const fromCelsius = (degrees) => round((degrees * 9) / 5 + 32);
