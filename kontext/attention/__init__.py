"""Who looks at what in an edit: reference strengths and regions become one plan that attention follows."""
